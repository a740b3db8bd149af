//! Texts in, vectors out: every format, bad input, interruptions.

use std::fs::File;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Float32Type;
use arrow::record_batch::RecordBatch;
use serde_json::Value;

use crate::fixture::{Journey, lines};

type Rows = Vec<(String, Vec<u32>)>;

const TEXTS: [&str; 4] = [
    "The Moon raises the tides.",
    "A sail is a wing.",
    "The Moon raises the tides.",
    "größe",
];

fn of_batches(batches: impl Iterator<Item = RecordBatch>) -> Rows {
    let mut rows = Rows::new();
    for batch in batches {
        let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
        let vectors = batch.column_by_name("vector").unwrap().as_fixed_size_list();
        for (id, vector) in ids.iter().zip(vectors.iter()) {
            let vector = vector.unwrap();
            let vector = vector.as_primitive::<Float32Type>().values();
            rows.push((
                id.unwrap().to_owned(),
                vector.iter().map(|x| x.to_bits()).collect(),
            ));
        }
    }
    rows
}

fn of_lines(text: &str) -> Rows {
    let row = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        let numbers = line["vector"].as_array().unwrap().iter();
        let bits = numbers.map(|x| (x.as_f64().unwrap() as f32).to_bits()).collect();
        (line["id"].as_str().unwrap().to_owned(), bits)
    };
    text.lines().map(row).collect()
}

/// Ids and the bits of the vectors in a file, by its extension.
fn vectors(journey: &Journey, name: &str) -> Rows {
    let path = journey.path(name);
    let file = || File::open(&path).unwrap();
    match name.rsplit_once('.').unwrap().1 {
        "arrow" => {
            let reader = arrow::ipc::reader::FileReader::try_new(file(), None).unwrap();
            assert_eq!(reader.schema().metadata()["cloze.model"], "bundled");
            assert_eq!(reader.schema().metadata()["cloze.precision"], "int8");
            of_batches(reader.map(Result::unwrap))
        }
        "parquet" => {
            let reader =
                parquet::arrow::arrow_reader::ParquetRecordBatchReader::try_new(file(), 512).unwrap();
            of_batches(reader.map(Result::unwrap))
        }
        "npy" => {
            let (bytes, ids) = (std::fs::read(&path).unwrap(), name.to_owned() + ".ids");
            let ids = std::fs::read_to_string(journey.path(&ids)).unwrap();
            let numbers = bytes[128..].chunks_exact(4);
            let bits: Vec<u32> = numbers
                .map(|n| u32::from_le_bytes(n.try_into().unwrap()))
                .collect();
            let width = bits.len() / ids.lines().count().max(1);
            let rows = ids.lines().zip(bits.chunks(width));
            rows.map(|(id, vector)| (id.to_owned(), vector.to_vec()))
                .collect()
        }
        _ => of_lines(&std::fs::read_to_string(&path).unwrap()),
    }
}

#[test]
fn every_format_has_the_same_vectors() {
    let journey = Journey::new();
    journey.put("in.jsonl", lines(&TEXTS));
    let said = journey
        .cloze(&["embed", "in.jsonl", "--output", "v.jsonl"])
        .well();
    assert!(
        said.out
            .starts_with("4 texts embedded in 384 dimensions, 0 skipped\n"),
        "{said:?}"
    );
    let expected = vectors(&journey, "v.jsonl");
    let ids: Vec<&str> = expected.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids, ["0", "1", "2", "3"]);
    assert_eq!(expected[0].1, expected[2].1, "the same text has the same vector");
    assert_ne!(expected[0].1, expected[1].1);
    for (id, vector) in &expected {
        let length: f32 = vector.iter().map(|&bits| f32::from_bits(bits).powi(2)).sum();
        assert!((length - 1.0).abs() < 1e-5, "{id}: {length}");
    }
    for name in ["v.arrow", "v.parquet", "v.npy"] {
        let said = journey
            .cloze(&["embed", "in.jsonl", "-o", name, "--json"])
            .well()
            .json();
        assert_eq!((&said["vectors"], &said["finished"]), (&4.into(), &true.into()));
        assert_eq!(vectors(&journey, name), expected, "{name}");
        assert!(!journey.path(&format!("{name}.parts")).exists());
    }
    let said = journey.cloze(&["embed", "in.jsonl", "--output", "-"]).well();
    assert_eq!(of_lines(&said.out), expected);
    assert!(said.err.starts_with("4 texts embedded"), "{said:?}");
}

#[test]
fn tables_and_lines_of_text_are_read_by_their_fields() {
    let journey = Journey::new();
    journey
        .put("rows.csv", "key,name,body\nc1,Copper,a red metal\n")
        .put("lines.txt", "Copper a red metal\nzinc\n");
    let map = [
        "--id-field",
        "key",
        "--title-field",
        "name",
        "--text-field",
        "body",
    ];
    journey
        .cloze(&[&["embed", "rows.csv", "-o", "rows.arrow"][..], &map].concat())
        .well();
    journey.cloze(&["embed", "lines.txt", "-o", "lines.arrow"]).well();
    let (rows, lines) = (vectors(&journey, "rows.arrow"), vectors(&journey, "lines.arrow"));
    assert_eq!(rows[0].0, "c1");
    assert_eq!(
        (lines[0].0.as_str(), lines[1].0.as_str()),
        ("lines.txt#1", "lines.txt#2")
    );
    assert_eq!(rows[0].1, lines[0].1, "the title stands before the text");
    let mut command = journey.command(&["embed", "-", "--output", "stdin.arrow"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"{\"text\":\"zinc\"}\n").unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    assert_eq!(vectors(&journey, "stdin.arrow")[0].1, lines[1].1);
}

#[test]
fn texts_that_are_cut_are_counted() {
    let journey = Journey::new();
    let long = "word ".repeat(300);
    journey.put("in.jsonl", lines(&["short", &long, &(long.clone() + "other")]));
    let said = journey
        .cloze(&["embed", "in.jsonl", "-o", "v.arrow", "--json"])
        .well()
        .json();
    let room = said["tokens_max"].as_u64().unwrap() - 2;
    assert_eq!(
        (&said["texts_cut"], &said["tokens_cut"]),
        (&2.into(), &(601 - 2 * room).into())
    );
    let rows = vectors(&journey, "v.arrow");
    assert_eq!(rows[1].1, rows[2].1, "what is cut does not count");
}

#[test]
fn a_bad_record_stops_or_is_skipped_and_a_mended_one_goes_on() {
    let journey = Journey::new();
    journey.put(
        "in.jsonl",
        "{\"id\":\"a\",\"text\":\"one\"}\n{\"id\":\"b\",\"text\":\" \"}\n{\"id\":\"c\",\"text\":\"three\"}\n",
    );
    let said = journey.cloze(&["embed", "in.jsonl", "-o", "v.npy"]);
    assert!(
        said.code == 1 && said.err.contains("in.jsonl:2:18: the document has no text"),
        "{said:?}"
    );
    assert!(said.err.contains("kept in v.npy.parts"), "{said:?}");
    assert!(!journey.path("v.npy").exists());
    let skip = [
        "embed",
        "in.jsonl",
        "-o",
        "v.npy",
        "--on-error",
        "skip",
        "--rejects",
        "bad.jsonl",
        "--json",
    ];
    let said = journey.cloze(&skip).well().json();
    let counts = ["vectors", "vectors_made", "records_skipped"].map(|name| said[name].as_u64().unwrap());
    assert_eq!(counts, [2, 1, 1]);
    let ids = vectors(&journey, "v.npy").into_iter().map(|(id, _)| id);
    assert_eq!(ids.collect::<Vec<_>>(), ["a", "c"]);
    let rejected: Value = serde_json::from_slice(&std::fs::read(journey.path("bad.jsonl")).unwrap()).unwrap();
    assert_eq!(rejected["line"], 2);
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let journey = Journey::new();
    journey
        .put("in/a.jsonl", lines(&["one"]))
        .put("v.arrow", "precious");
    for (arguments, expected) in [
        (
            &["in", "-o", "v.arrow"][..],
            "v.arrow: there is such a file already; accepted: another",
        ),
        (
            &["in", "-o", "v.csv"],
            "v.csv: unknown format \"csv\"; accepted: arrow, parquet, npy, jsonl",
        ),
        (
            &["in", "-o", "-", "--output-format", "npy"],
            "--output-format is npy with --output -",
        ),
        (
            &["in", "-o", "in/v.npy"],
            "in/v.npy: the output lies in the input in; accepted: a place",
        ),
        (
            &["in", "-o", "no/v.npy"],
            "no/v.npy.parts: No such file or directory",
        ),
        (
            &["in", "-o", "in", "--output-format", "npy"],
            "in: is a directory",
        ),
        (
            &["in", "-o", "w.npy", "--model", "nowhere"],
            "cannot open the model \"nowhere\"",
        ),
    ] {
        let said = journey.cloze(&[&["embed"], arguments].concat());
        assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    }
    assert_eq!(std::fs::read(journey.path("v.arrow")).unwrap(), b"precious");
    journey
        .cloze(&["embed", "in", "-o", "v.arrow", "--overwrite"])
        .well();
    assert_eq!(vectors(&journey, "v.arrow").len(), 1);
}

/// A corpus of three parts, which takes long enough to be interrupted.
fn long(journey: &Journey) -> u64 {
    let texts: Vec<String> = (0..5000).map(|n| format!("text {n} of some words")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    journey.put("in.jsonl", lines(&texts));
    texts.len() as u64
}

/// Starts embedding and waits for the first finished part.
fn started(journey: &Journey, output: &str) -> Child {
    let mut command = journey.command(&["embed", "in.jsonl", "--output", output]);
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let state = journey.path(&format!("{output}.parts/state.json"));
    let deadline = Instant::now() + Duration::from_secs(120);
    while !state.exists() {
        assert!(Instant::now() < deadline, "no part");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}

#[test]
fn a_killed_run_goes_on_to_the_same_bytes() {
    let journey = Journey::new();
    let count = long(&journey);
    for output in ["v.parquet", "v.npy"] {
        let mut child = started(&journey, output);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!journey.path(output).exists());
        let said = journey
            .cloze(&["embed", "in.jsonl", "-o", output, "--json"])
            .well()
            .json();
        let made = said["vectors_made"].as_u64().unwrap();
        assert!(said["vectors"] == count && made < count, "{said}");
    }
    journey
        .cloze(&["embed", "in.jsonl", "-o", "whole.parquet"])
        .well();
    let bytes = |name: &str| std::fs::read(journey.path(name)).unwrap();
    assert!(bytes("v.parquet") == bytes("whole.parquet"));
    assert!(vectors(&journey, "v.npy") == vectors(&journey, "whole.parquet"));
}

#[test]
#[cfg(unix)]
fn ctrl_c_keeps_what_is_finished_and_the_rest_must_fit() {
    let journey = Journey::new();
    let count = long(&journey);
    let child = started(&journey, "v.arrow");
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert!(
        ended.status.code() == Some(130) && out.contains("the same command goes on"),
        "{out}"
    );
    assert!(!journey.path("v.arrow").exists());
    // Another precision, and another input, would make a file of two kinds of rows.
    let said = journey.cloze(&["embed", "in.jsonl", "-o", "v.arrow", "--precision", "f32"]);
    let expected = "the interrupted run had --precision int8, this one has --precision f32";
    assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    let whole = std::fs::read_to_string(journey.path("in.jsonl")).unwrap();
    journey.put("in.jsonl", whole.replacen("text 7 ", "TEXT 7 times ", 1));
    let said = journey.cloze(&["embed", "in.jsonl", "-o", "v.arrow"]);
    let expected = "records 1 to 2048 of the input are not what the interrupted run read";
    assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    journey.put("in.jsonl", whole);
    let said = journey
        .cloze(&["embed", "in.jsonl", "-o", "v.arrow", "--json"])
        .well()
        .json();
    assert!(
        said["vectors"] == count && said["vectors_made"].as_u64().unwrap() < count,
        "{said}"
    );
    let ids = vectors(&journey, "v.arrow").into_iter().map(|(id, _)| id);
    assert!(ids.eq((0..count).map(|n| n.to_string())));
    journey.put("in.jsonl", lines(&["one"]));
    let restart = ["embed", "in.jsonl", "-o", "v.arrow", "--restart", "--overwrite"];
    journey.cloze(&restart).well();
    assert_eq!(vectors(&journey, "v.arrow").len(), 1);
}
