//! Copies of an index, parts built apart, damage made good, and passages for other tools.

use crate::fixture::{Journey, files, lines};

#[test]
fn a_snapshot_brings_an_index_back() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["granite bridge", "clay tower"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    let said = journey.cloze(&["snapshot", "backups/monday", "--json"]).well();
    assert_eq!(said.json()["documents"], 2, "{said:?}");
    journey.cloze(&["index", "--delete", "0", "1"]).well();
    let said = journey.cloze(&["snapshot", "backups/monday"]);
    assert_eq!(said.code, 1, "a snapshot is not overwritten: {said:?}");
    let said = journey.cloze(&["restore", "backups/monday"]);
    assert_eq!(said.code, 1, "nor is an index, unless it is said: {said:?}");
    journey.cloze(&["restore", "backups/monday", "--replace"]).well();
    let said = journey.cloze(&["search", "granite"]).well();
    assert!(said.out.contains("granite bridge"), "{said:?}");
    journey
        .cloze(&["restore", "backups/monday", "--index", "beside"])
        .well();
    journey.cloze(&["verify", "--index", "beside"]).well();
}

#[test]
fn parts_become_one_index_and_leave_it_as_parquet() {
    let journey = Journey::new();
    for (part, text) in [("one", "granite bridge"), ("two", "clay tower")] {
        journey.put(
            &format!("{part}.jsonl"),
            format!("{{\"id\": \"{part}\", \"text\": \"{text}\"}}\n"),
        );
        journey
            .cloze(&["index", &format!("{part}.jsonl"), "--index", part])
            .well();
    }
    journey.cloze(&["index", "--merge-from", "one", "two"]).well();
    let said = journey.cloze(&["search", "tower", "--json"]).well();
    assert_eq!(said.json()["hits"][0]["document"], "two", "{said:?}");
    let said = journey.cloze(&["export", "all.parquet"]).well();
    assert!(said.out.contains("2 passages"), "{said:?}");
    assert_eq!(journey.cloze(&["export", "all.parquet"]).code, 1);
    journey.cloze(&["export", "all.parquet", "--overwrite"]).well();
    // The exported texts can be indexed again.
    journey
        .cloze(&[
            "index",
            "all.parquet",
            "--id-field",
            "document",
            "--index",
            "again",
        ])
        .well();
    let said = journey
        .cloze(&["search", "tower", "--index", "again", "--json"])
        .well();
    assert_eq!(said.json()["hits"][0]["document"], "two", "{said:?}");
}

#[test]
fn repair_keeps_what_can_be_kept() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["granite bridge", "clay tower"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    let damage = |name: &str| {
        // The segment written last: those before may be left over.
        let mut all = files(&journey.path("index")).into_iter();
        let path = all.rfind(|path| path.ends_with(name)).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
    };
    let postings = files(&journey.path("index/segments"));
    let postings = postings
        .iter()
        .find(|path| path.to_string_lossy().contains("postings"))
        .unwrap();
    damage(postings.file_name().unwrap().to_str().unwrap());
    assert_eq!(journey.cloze(&["search", "granite"]).code, 1);
    journey.cloze(&["verify", "--repair"]).well();
    let said = journey.cloze(&["search", "granite"]).well();
    assert!(said.out.contains("granite bridge"), "{said:?}");
    damage("vectors");
    let said = journey.cloze(&["verify", "--repair"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.contains("lost: document 0; add it again"), "{said:?}");
    // And adding it again is all there is to do.
    journey.cloze(&["index", "in.jsonl"]).well();
    journey.cloze(&["verify"]).well();
    let said = journey.cloze(&["search", "granite"]).well();
    assert!(said.out.contains("granite bridge"), "{said:?}");
}

#[test]
fn a_compacted_index_is_one_segment_without_what_was_deleted() {
    let journey = Journey::new();
    for n in 0..5 {
        let id = format!("{{\"id\": \"{n}\", \"text\": \"granite number {n}\"}}\n");
        journey.put("one.jsonl", id);
        journey.cloze(&["index", "one.jsonl"]).well();
    }
    journey.cloze(&["index", "--delete", "3"]).well();
    let said = journey
        .cloze(&["compact", "--threads", "1", "--mib-per-s", "1000"])
        .well();
    assert!(
        said.out.contains("1 segments, 4 documents, 4 passages"),
        "{said:?}"
    );
    journey.cloze(&["verify"]).well();
    assert_eq!(
        journey.found(&["--mode", "lexical", "granite"]),
        ["0", "1", "2", "4"]
    );
}
