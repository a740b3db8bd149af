//! Every format, from a file to an answer.

use crate::fixture::Journey;

#[test]
fn files_of_text_become_documents_by_their_path() {
    let journey = Journey::new();
    journey
        .put(
            "docs/bridge.md",
            "# The bridge\n\nIt was built of *granite* in 1869.",
        )
        .put(
            "docs/a/tower.html",
            "<title>The tower</title><nav>menu</nav><p>It leans because of clay.</p>",
        )
        .put("docs/notes.txt", "A lighthouse warns ships.")
        .put("docs/picture.png", "no text");
    let said = journey.cloze(&["index", "docs"]).well();
    assert!(said.out.contains("3 documents added"), "{said:?}");
    assert!(
        said.out.contains("1 files of unknown formats passed over"),
        "{said:?}"
    );
    for (question, id) in [
        ("granite", "bridge.md"),
        ("clay", "a/tower.html"),
        ("lighthouse", "notes.txt"),
    ] {
        assert_eq!(journey.found(&[question, "--mode", "lexical"]), [id]);
    }
    assert!(journey.found(&["menu", "--mode", "lexical"]).is_empty());
}

#[test]
fn tables_and_lines_become_documents_by_their_fields() {
    let journey = Journey::new();
    journey
        .put(
            "rows.csv",
            "key,name,body,year\nc1,\"A, b\",\"copper\nwire\",1901\n",
        )
        .put(
            "rows.tsv",
            "key\tname\tbody\tyear\nt1\tQuote \"\tzinc roof\t1902\n",
        )
        .put(
            "rows.jsonl",
            "{\"key\":\"j1\",\"name\":\"N\",\"body\":[\"iron\",\"gate\"],\"year\":1903}\n",
        )
        .put(
            "map.toml",
            "id = 'key'\ntitle = 'name'\ntext = 'body'\nmetadata = ['year']\n",
        );
    journey
        .cloze(&[
            "index",
            "rows.csv",
            "rows.tsv",
            "rows.jsonl",
            "--mapping",
            "map.toml",
        ])
        .well();
    for (question, id) in [("copper", "c1"), ("zinc", "t1"), ("iron", "j1")] {
        assert_eq!(journey.found(&[question, "--mode", "lexical"]), [id]);
    }
    let since = r#"{"range": {"year": {"gte": 1902}}}"#;
    let mut found = journey.found(&["copper zinc iron", "--mode", "lexical", "--filter", since]);
    found.sort();
    assert_eq!(found, ["j1", "t1"]);
}

#[test]
fn columns_become_documents_by_their_names() {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int32Array, StringArray};
    use arrow::record_batch::RecordBatch;
    let rows = |id: &str, text: &str| {
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("id", Arc::new(StringArray::from(vec![id]))),
            ("text", Arc::new(StringArray::from(vec![text]))),
            ("year", Arc::new(Int32Array::from(vec![1901]))),
        ];
        RecordBatch::try_from_iter(columns).unwrap()
    };
    let journey = Journey::new();
    let batch = rows("p1", "copper wire");
    let mut parquet = parquet::arrow::ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    let batch = rows("a1", "zinc roof");
    let mut arrow = arrow::ipc::writer::FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    arrow.write(&batch).unwrap();
    journey
        .put("rows.parquet", parquet.into_inner().unwrap())
        .put("rows.arrow", arrow.into_inner().unwrap());
    journey.cloze(&["index", "rows.parquet", "rows.arrow"]).well();
    let in_1901 = r#"{"eq": {"year": 1901}}"#;
    for (question, id) in [("copper", "p1"), ("zinc", "a1")] {
        assert_eq!(
            journey.found(&[question, "--mode", "lexical", "--filter", in_1901]),
            [id]
        );
    }
}

#[test]
fn a_collection_in_the_beir_layout_is_its_corpus() {
    let journey = Journey::new();
    journey
        .put(
            "set/corpus.jsonl",
            "{\"_id\":\"d1\",\"title\":\"Rome\",\"text\":\"It burned.\",\"metadata\":{\"kind\":\"city\"}}\n",
        )
        .put(
            "set/queries.jsonl",
            "{\"_id\":\"q1\",\"text\":\"Which city burned?\"}\n",
        )
        .put("set/qrels/test.tsv", "query-id\tcorpus-id\tscore\nq1\td1\t1\n");
    journey.cloze(&["index", "set"]).well();
    assert_eq!(journey.documents(), 1);
    let answer = journey.cloze(&["search", "Rome", "--json"]).well().json();
    assert_eq!(answer["hits"][0]["metadata"]["kind"], "city");
    assert_eq!(answer["hits"][0]["title"], "Rome");
}

#[test]
fn lines_are_read_from_the_standard_input() {
    use std::io::Write;
    use std::process::Stdio;
    let journey = Journey::new();
    let mut command = journey.command(&["index", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(b"{\"text\":\"amber\"}\n")
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(journey.found(&["amber"]), ["stdin#1"]);
}

#[test]
fn an_unknown_format_is_refused_with_what_is_accepted() {
    let journey = Journey::new();
    journey.put("a.docx", "x");
    let said = journey.cloze(&["index", "a.docx"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("a.docx: unknown format \"docx\"; accepted: jsonl, csv"),
        "{said:?}"
    );
}
