//! Parquet and Arrow files, whole and damaged.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float32Array, Int32Array, ListBuilder, StringArray,
    StringBuilder, StructArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int8Type};
use arrow::ipc::writer::{FileWriter, StreamWriter};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use crate::tests::{read, write};
use crate::{Format, Mapping, ReadSettings, documents};

fn batch() -> RecordBatch {
    let mut tags = ListBuilder::new(StringBuilder::new());
    tags.append_value([Some("a"), Some("b")]);
    tags.append_null();
    tags.append_value([None, Some("c")]);
    let kind: DictionaryArray<Int8Type> = vec!["book", "web", "book"].into_iter().collect();
    let name: ArrayRef = Arc::new(StringArray::from(vec!["N", "M", "O"]));
    let by = StructArray::from(vec![(Arc::new(Field::new("name", DataType::Utf8, false)), name)]);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int32Array::from(vec![7, 8, 9]))),
        (
            "text",
            Arc::new(StringArray::from(vec![Some("x"), None, Some("z")])),
        ),
        ("day", Arc::new(Date32Array::from(vec![19_874, 0, 1]))),
        (
            "at",
            Arc::new(TimestampMicrosecondArray::from(vec![1_500_000, 0, 0])),
        ),
        ("open", Arc::new(BooleanArray::from(vec![true, false, true]))),
        ("share", Arc::new(Float32Array::from(vec![0.1, 0.2, 0.3]))),
        ("tags", Arc::new(tags.finish())),
        ("kind", Arc::new(kind)),
        ("by", Arc::new(by)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

fn files() -> [(&'static str, Format, Vec<u8>); 3] {
    let batch = batch();
    let mut parquet = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    parquet.write(&batch).unwrap();
    let mut file = FileWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    file.write(&batch).unwrap();
    file.finish().unwrap();
    let mut stream = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    stream.write(&batch).unwrap();
    stream.finish().unwrap();
    [
        ("in.parquet", Format::Parquet, parquet.into_inner().unwrap()),
        ("in.arrow", Format::Arrow, file.into_inner().unwrap()),
        ("in.arrows", Format::Arrow, stream.into_inner().unwrap()),
    ]
}

#[test]
fn every_kind_of_column_is_read() {
    for (name, format, bytes) in files() {
        let expected = [
            "1 7",
            "2: the document has no text; accepted: at least one character that is not a space",
            "3 9",
        ];
        assert_eq!(read(name, &bytes, format, Mapping::default()), expected, "{name}");
        let (_folder, path) = write(name, &bytes);
        let first = documents(&[path], &ReadSettings::default())
            .unwrap()
            .next()
            .unwrap()
            .unwrap();
        let metadata = serde_json::to_string(&first.value.metadata).unwrap();
        let expected = r#"{"at":"1970-01-01T00:00:01.500Z","by.name":"N","day":"2024-05-31","kind":"book","open":true,"share":0.1,"tags":["a","b"]}"#;
        assert_eq!(metadata, expected, "{name}");
    }
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    for (name, format, bytes) in files() {
        for length in [0, 3, 8, bytes.len() / 2, bytes.len() - 1] {
            let found = read(name, &bytes[..length], format, Mapping::default());
            assert!(found.len() <= 4, "{name} cut at {length}: {found:?}");
        }
        for at in (0..bytes.len()).step_by(7) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x41;
            read(name, &flipped, format, Mapping::default());
        }
    }
}
