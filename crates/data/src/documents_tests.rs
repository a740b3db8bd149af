//! Folders, extensions, and files that are one document.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::path::Path;

use super::*;
use crate::tests::{read, write};

fn ids(paths: &[PathBuf], settings: &ReadSettings) -> Vec<String> {
    let read = documents(paths, settings).unwrap();
    read.map(|document| document.unwrap().value.id.to_string())
        .collect()
}

fn put(folder: &Path, name: &str, text: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_folder_is_walked_in_order_and_what_is_no_document_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "b.md", "# B\nx");
    put(folder.path(), "a/z.html", "<p>x");
    put(folder.path(), "a/c.txt", "x");
    put(
        folder.path(),
        "rows.jsonl",
        "{\"text\":\"x\"}\n\n{\"id\":\"own\",\"text\":\"y\"}\n",
    );
    put(folder.path(), ".hidden/x.txt", "x");
    put(folder.path(), "picture.png", "x");
    put(
        folder.path(),
        "set/corpus.jsonl",
        "{\"_id\":\"d1\",\"title\":\"\",\"text\":\"x\"}\n",
    );
    put(
        folder.path(),
        "set/queries.jsonl",
        "{\"_id\":\"q1\",\"text\":\"x\"}\n",
    );
    let paths = [folder.path().to_owned()];
    let expected = ["a/c.txt", "a/z.html", "b.md", "rows.jsonl#1", "own", "d1"];
    assert_eq!(ids(&paths, &ReadSettings::default()), expected);
    let found = documents(&paths, &ReadSettings::default()).unwrap();
    assert_eq!((found.files_count(), found.files_skipped()), (5, 1));
    let only = ReadSettings {
        format: Some(Format::Markdown),
        ..ReadSettings::default()
    };
    assert_eq!(ids(&[folder.path().join("b.md")], &only), ["b.md"]);
    assert_eq!(ids(&paths, &only), ["b.md", "picture.png"]);
}

#[test]
fn the_meter_ends_at_the_total() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.jsonl", &"{\"text\":\"x\"}\n".repeat(10_000));
    put(folder.path(), "b.txt", "x");
    let mut read = documents(&[folder.path().to_owned()], &ReadSettings::default()).unwrap();
    let (meter, total) = (read.meter(), read.bytes_total().unwrap());
    read.by_ref().take(10).for_each(drop);
    assert!(meter.bytes() > 0 && meter.bytes() < total, "{}", meter.bytes());
    read.by_ref().for_each(drop);
    assert_eq!(meter.bytes(), total);
}

#[test]
fn whole_files_name_what_is_wrong_with_them() {
    let read = |name, bytes: &[u8], format| read(name, bytes, format, Mapping::default());
    assert_eq!(read("a.txt", b"\xef\xbb\xbfone\ntwo", Format::Text), [" a.txt"]);
    let bad = read("a.txt", b"one\ntw\xffo", Format::Text);
    assert_eq!(bad, ["2:3: byte 0xff is not valid UTF-8; accepted: UTF-8"]);
    let empty = read("a.html", b"<script>1</script>", Format::Html);
    assert_eq!(
        empty,
        [": the document has no text; accepted: at least one character that is not a space"]
    );
    let long = read("a.txt", &vec![b'x'; RECORD_BYTES_MAX + 1], Format::Text);
    assert_eq!(
        long,
        [": a file of more than 10485760 bytes; accepted: up to 10485760"]
    );
}

#[test]
fn a_path_that_cannot_be_read_is_named() {
    let error = |path: &Path| {
        documents(&[path.to_owned()], &ReadSettings::default())
            .err()
            .unwrap()
            .to_string()
    };
    assert!(error(Path::new("no/such.jsonl")).starts_with("no/such.jsonl: No such file"));
    let (_folder, path) = write("a.docx", b"x");
    assert!(error(&path).contains("a.docx: unknown format \"docx\"; accepted: jsonl, csv"));
}
