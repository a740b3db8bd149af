//! An index whose files are not what was written.

use crate::fixture::{Journey, files, lines};

#[test]
fn a_flipped_byte_is_found_in_every_file() {
    let journey = Journey::new();
    journey.put(
        "in.jsonl",
        lines(&["granite bridge", "clay tower", "old lighthouse"]),
    );
    journey.cloze(&["index", "in.jsonl"]).well();
    journey.cloze(&["index", "--delete", "1"]).well();
    let sound = journey.cloze(&["verify"]).well();
    assert!(sound.out.contains("sound: 2 documents"), "{sound:?}");
    let mut flipped = 0;
    for path in files(&journey.path("index")) {
        let bytes = std::fs::read(&path).unwrap();
        if bytes.is_empty() || path.ends_with("write.lock") {
            continue;
        }
        let mut damaged = bytes.clone();
        damaged[bytes.len() / 2] ^= 1;
        std::fs::write(&path, damaged).unwrap();
        let said = journey.cloze(&["verify", "--json"]);
        assert_eq!(said.code, 1, "{}: {said:?}", path.display());
        let said = journey.cloze(&["search", "granite"]);
        assert_eq!(said.code, 1, "{}: {said:?}", path.display());
        std::fs::write(&path, bytes).unwrap();
        flipped += 1;
    }
    assert!(flipped > 5, "{flipped} files");
    journey.cloze(&["verify"]).well();
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_takes_no_more_is_named_and_what_was_committed_stays() {
    use std::process::Command;
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["granite bridge", "clay tower"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    // A limit on the size of files is the nearest thing to a full disk that needs no rights.
    let text = "word ".repeat(400_000);
    journey.put("big.jsonl", lines(&["granite bridge", "clay tower", &text]));
    let said = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 8; exec \"$@\"",
            "sh",
            env!("CARGO_BIN_EXE_cloze"),
            "index",
            "big.jsonl",
        ])
        .current_dir(journey.path("."))
        .env("CLOZE_INDEX", "index")
        .output()
        .unwrap();
    assert_eq!(said.status.code(), Some(1), "{said:?}");
    let error = String::from_utf8(said.stderr).unwrap();
    assert!(error.contains("File too large"), "{error}");
    assert_eq!(journey.documents(), 2);
    journey.cloze(&["verify"]).well();
    journey.cloze(&["search", "granite"]).well();
}
