//! Each format, read back with the reader of its own library.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::collections::HashMap;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Float32Type};
use arrow::record_batch::RecordBatch;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::*;

const ALL: [VectorFormat; 4] = [
    VectorFormat::Arrow,
    VectorFormat::Parquet,
    VectorFormat::Npy,
    VectorFormat::Jsonl,
];

fn schema() -> VectorSchema {
    let about = [("cloze.model", "bundled"), ("cloze.precision", "f32")];
    VectorSchema {
        dimension: 3,
        about: about
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    }
}

/// Numbers with every kind of bits.
fn rows(count: usize) -> VectorRows {
    let mut rows = VectorRows::default();
    for row in 0..count {
        let number = f32::from_bits(0x3d_00_00_01 + (row as u32).wrapping_mul(7919));
        rows.push(&format!("größe, \"{row}\""), &[number, -number / 3.0, 0.1]);
    }
    rows
}

/// Writes rows in portions of so many.
fn write(path: &Path, format: VectorFormat, rows: &VectorRows, portion: usize) {
    let mut writer = VectorWriter::create(path, format, &schema()).unwrap();
    for (ids, values) in rows.ids.chunks(portion).zip(rows.values.chunks(3 * portion)) {
        let (ids, values) = (ids.to_vec(), values.to_vec());
        writer.write(&VectorRows { ids, values }).unwrap();
    }
    writer.finish().unwrap();
}

fn of_batch(batch: &RecordBatch) -> VectorRows {
    let size = match batch.schema().field(1).data_type() {
        DataType::FixedSizeList(_, size) => *size,
        other => panic!("{other}"),
    };
    assert_eq!(size, 3);
    let ids = batch.column_by_name("id").unwrap().as_string::<i32>();
    let vectors = batch.column_by_name("vector").unwrap().as_fixed_size_list();
    VectorRows {
        ids: ids.iter().map(|id| id.unwrap().to_owned()).collect(),
        values: vectors.values().as_primitive::<Float32Type>().values().to_vec(),
    }
}

fn read(path: &Path, format: VectorFormat) -> (VectorRows, HashMap<String, String>) {
    let mut read = VectorRows::default();
    let mut about = HashMap::new();
    let file = || File::open(path).unwrap();
    match format {
        VectorFormat::Arrow => {
            let reader = arrow::ipc::reader::FileReader::try_new(file(), None).unwrap();
            about.extend(reader.schema().metadata().clone());
            reader.for_each(|batch| read.append(of_batch(&batch.unwrap())));
        }
        VectorFormat::Parquet => {
            let builder = ParquetRecordBatchReaderBuilder::try_new(file()).unwrap();
            let written = builder.metadata().file_metadata().key_value_metadata().unwrap();
            let named = written.iter().filter(|pair| pair.key.starts_with("cloze."));
            about.extend(named.map(|pair| (pair.key.clone(), pair.value.clone().unwrap())));
            let reader = builder.build().unwrap();
            reader.for_each(|batch| read.append(of_batch(&batch.unwrap())));
        }
        VectorFormat::Npy => {
            let bytes = std::fs::read(path).unwrap();
            let ids = std::fs::read_to_string(ids_path(path)).unwrap();
            read.ids = ids.lines().map(str::to_owned).collect();
            assert_eq!(bytes[..128], npy::header(read.len() as u64, 3));
            let numbers = bytes[128..].chunks_exact(4);
            read.values = numbers
                .map(|n| f32::from_le_bytes(n.try_into().unwrap()))
                .collect();
        }
        VectorFormat::Jsonl => {
            for line in std::fs::read_to_string(path).unwrap().lines() {
                let line: serde_json::Value = serde_json::from_str(line).unwrap();
                let vector = line["vector"].as_array().unwrap().iter();
                let vector: Vec<f32> = vector.map(|n| n.as_f64().unwrap() as f32).collect();
                read.push(line["id"].as_str().unwrap(), &vector);
            }
        }
    }
    (read, about)
}

#[test]
fn every_format_reads_back_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    for count in [0, 1, columns::BATCH_ROWS, 9 * columns::BATCH_ROWS + 5] {
        for format in ALL {
            let path = folder.path().join(format.name());
            write(&path, format, &rows(count), 700);
            let (found, about) = read(&path, format);
            assert_eq!(found, rows(count), "{format:?} of {count}");
            if matches!(format, VectorFormat::Arrow | VectorFormat::Parquet) {
                assert_eq!(about, schema().about.into_iter().collect(), "{format:?}");
            }
        }
        let batches = read_vectors(&folder.path().join("arrow")).unwrap();
        let mut found = VectorRows::default();
        batches.for_each(|batch| found.append(batch.unwrap()));
        assert_eq!(found, rows(count));
    }
}

#[test]
fn the_bytes_do_not_depend_on_the_portions() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    for format in ALL {
        write(&one, format, &rows(3000), 3000);
        write(&other, format, &rows(3000), 13);
        assert_eq!(
            std::fs::read(&one).unwrap(),
            std::fs::read(&other).unwrap(),
            "{format:?}"
        );
    }
}

#[test]
fn the_header_of_npy_is_that_of_numpy() {
    // What numpy.save writes for numpy.zeros((2, 3), "<f4"), before the numbers.
    let mut expected = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    expected.extend(b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }");
    expected.extend([b' '; 58]);
    expected.push(b'\n');
    assert_eq!(npy::header(2, 3), expected);
    let longest = npy::header(u64::MAX, usize::MAX);
    assert!(longest.len() == npy::HEADER_BYTES && longest.len().is_multiple_of(64));
    assert!(longest.ends_with(b"\n") && longest.contains(&b'}'));
}

#[test]
fn what_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.npy");
    let mut writer = VectorWriter::create(&path, VectorFormat::Npy, &schema()).unwrap();
    let wrong = VectorRows {
        ids: vec!["a".to_owned()],
        values: vec![1.0; 4],
    };
    let error = writer.write(&wrong).unwrap_err().to_string();
    assert!(
        error.ends_with("v.npy: 4 numbers in 1 rows; accepted: 3, 3 for each"),
        "{error}"
    );
    let error = VectorFormat::of_path(Path::new("v.csv")).unwrap_err().to_string();
    assert_eq!(
        error,
        "v.csv: unknown format \"csv\"; accepted: arrow, parquet, npy, jsonl"
    );
    let missing = VectorWriter::create(&folder.path().join("no/v.npy"), VectorFormat::Npy, &schema());
    assert!(missing.is_err_and(|error| error.to_string().contains("No such file")));
}

#[test]
fn a_damaged_file_is_an_error_and_never_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.arrow");
    write(&path, VectorFormat::Arrow, &rows(40), 40);
    let bytes = std::fs::read(&path).unwrap();
    for at in (0..bytes.len()).step_by(5) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 0x41;
        std::fs::write(&path, &flipped).unwrap();
        // A flipped bit of a number cannot be seen here; that nothing panics can.
        let _ = read_vectors(&path).map(|batches| batches.take(8).count());
        std::fs::write(&path, &bytes[..at]).unwrap();
        assert!(read_vectors(&path).is_err(), "cut at {at}");
    }
}
