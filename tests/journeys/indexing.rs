//! Bad input, interruptions, changes.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{Journey, files, lines};

const BAD: &str =
    "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":}\n{\"id\":\"c\",\"text\":\"three\"}\n";

#[test]
fn a_malformed_line_stops_and_what_came_before_is_kept() {
    let journey = Journey::new();
    journey.put("in.jsonl", BAD);
    let said = journey.cloze(&["index", "in.jsonl"]);
    assert_eq!(said.code, 1);
    assert!(
        said.err
            .contains("1 documents that were accepted before are kept"),
        "{said:?}"
    );
    assert!(
        said.err.contains("in.jsonl:2:18: not valid JSON: expected value"),
        "{said:?}"
    );
    assert_eq!(journey.documents(), 1);
}

#[test]
fn a_malformed_line_is_skipped_counted_and_written_down() {
    let journey = Journey::new();
    journey.put("in.jsonl", BAD);
    let said = journey.cloze(&[
        "index",
        "in.jsonl",
        "--on-error",
        "skip",
        "--rejects",
        "bad.jsonl",
        "--json",
    ]);
    let summary = said.well().json();
    assert_eq!(
        (&summary["documents_added"], &summary["records_rejected"]),
        (&2.into(), &1.into())
    );
    let rejected = std::fs::read_to_string(journey.path("bad.jsonl")).unwrap();
    let rejected: serde_json::Value = serde_json::from_str(rejected.trim()).unwrap();
    assert_eq!((&rejected["line"], &rejected["column"]), (&2.into(), &18.into()));
    assert_eq!(rejected["raw"], "{\"id\":\"b\",\"text\":}");
    assert_eq!(journey.documents(), 2);
}

#[test]
fn documents_without_text_and_ids_given_twice_are_errors() {
    let journey = Journey::new();
    journey.put(
        "twice.jsonl",
        "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"a\",\"text\":\"two\"}\n",
    );
    let said = journey.cloze(&["index", "twice.jsonl"]);
    let expected = "twice.jsonl:2: document id \"a\" was given before, at twice.jsonl:1";
    assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    journey.put("empty.jsonl", "{\"id\":\"b\",\"text\":\"  \"}\n");
    let said = journey.cloze(&["index", "empty.jsonl"]);
    assert!(
        said.code == 1 && said.err.contains("empty.jsonl:1:18: the document has no text"),
        "{said:?}"
    );
}

#[test]
fn documents_are_replaced_passed_over_and_deleted() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["one", "two"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    journey.put("in.jsonl", lines(&["one", "twice", "three"]));
    let summary = journey.cloze(&["index", "in.jsonl", "--json"]).well().json();
    let counts = ["documents_unchanged", "documents_replaced", "documents_added"]
        .map(|name| summary[name].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1]);
    let said = journey.cloze(&["index", "--delete", "1", "nine", "--json"]);
    assert_eq!(said.code, 1);
    assert_eq!(said.json()["unknown"], serde_json::json!(["nine"]));
    assert_eq!(journey.documents(), 2);
    assert!(journey.found(&["twice", "--mode", "lexical"]).is_empty());
}

/// A corpus that takes long enough to be interrupted.
fn long(journey: &Journey) -> usize {
    let texts: Vec<String> = (0..3000)
        .map(|n| format!("document {n} {}", "with some words ".repeat(10)))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    journey.put("in.jsonl", lines(&texts));
    texts.len()
}

/// Starts indexing and waits for the first commit that has documents.
fn started(journey: &Journey) -> Child {
    let mut command = journey.command(&["index", "in.jsonl", "--commit-every", "64"]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    let committed = || {
        let said = journey.cloze(&["inspect", "--json"]);
        said.code == 0 && said.json()["documents"].as_u64().unwrap() > 0
    };
    while !committed() {
        assert!(Instant::now() < deadline, "no commit");
        std::thread::sleep(Duration::from_millis(20));
    }
    child
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let journey = Journey::new();
    let count = long(&journey) as u64;
    let mut child = started(&journey);
    child.kill().unwrap();
    child.wait().unwrap();
    journey.cloze(&["verify"]).well();
    let kept = journey.documents();
    assert!(kept > 0 && kept < count, "{kept}");
    let summary = journey.cloze(&["index", "in.jsonl", "--json"]).well().json();
    assert_eq!(summary["documents_unchanged"], kept);
    assert_eq!(summary["documents_added"], count - kept);
    assert_eq!(journey.documents(), count);
}

#[test]
#[cfg(unix)]
fn ctrl_c_commits_and_says_how_to_go_on() {
    let journey = Journey::new();
    let count = long(&journey) as u64;
    let child = started(&journey);
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let out = String::from_utf8(output.stdout).unwrap();
    assert!(out.contains("the same command goes on from here"), "{out}");
    assert!(journey.documents() < count);
    journey.cloze(&["verify"]).well();
}

#[test]
fn an_index_of_another_model_is_refused() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["one"]));
    journey.cloze(&["index", "in.jsonl"]).well();
    // The bundled model with a prompt gives other vectors: it is another model.
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundled/models/encoder");
    for file in files(&bundled) {
        let name = Path::new("other").join(file.strip_prefix(&bundled).unwrap());
        journey.put(name.to_str().unwrap(), std::fs::read(&file).unwrap());
    }
    journey.put(
        "other/config_sentence_transformers.json",
        r#"{"prompts": {"query": "question: "}}"#,
    );
    for arguments in [["index", "in.jsonl"], ["search", "one"]] {
        let said = journey.cloze(&[&arguments[..], &["--model", "other"]].concat());
        let refused = said.err.contains("the index was made by the model");
        assert!(said.code == 1 && refused, "{said:?}");
    }
    journey
        .cloze(&["index", "in.jsonl", "--model", "other", "--index", "second"])
        .well();
    let manifest = journey
        .cloze(&["inspect", "--json", "--index", "second"])
        .well()
        .json();
    let recorded = Path::new(manifest["settings"]["model"].as_str().unwrap()).to_owned();
    assert!(
        recorded.is_absolute() && recorded.ends_with("other"),
        "{recorded:?}"
    );
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&["one"]));
    let said = journey.cloze(&["index", "in.jsonl", "--model", "nowhere"]);
    assert!(
        said.code == 1 && said.err.contains("cannot open the model \"nowhere\""),
        "{said:?}"
    );
    let said = journey.cloze(&["index", "in.jsonl", "--chunk-tokens", "7"]);
    assert!(
        said.code == 1 && said.err.contains("chunk_tokens is 7; accepted: 32 to"),
        "{said:?}"
    );
    assert!(!journey.path("index").exists());
    journey.cloze(&["index", "in.jsonl"]).well();
    let said = journey.cloze(&["index", "in.jsonl", "--chunk-tokens", "64"]);
    assert!(
        said.code == 1 && said.err.contains("the index has chunk"),
        "{said:?}"
    );
}

#[test]
fn two_writers_are_one_too_many() {
    let journey = Journey::new();
    long(&journey);
    let mut child = started(&journey);
    let said = journey.cloze(&["index", "--delete", "0"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        said.code == 1 && said.err.contains("another process is writing to this index"),
        "{said:?}"
    );
}
