//! Passages with their vectors as Parquet.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, StringArray, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use crate::error::{DataError, Place, Reason};
use crate::vector_file::columns::{component, not_written, properties, refused};
use crate::vector_file::{BATCH_ROWS, VectorSchema};

/// A passage of a document, with its vector.
#[derive(Debug, Clone, PartialEq)]
pub struct PassageRow {
    /// Id of the document.
    pub document: String,
    /// Which passage of the document, from 0.
    pub chunk: u32,
    /// Where it begins in the document's text, in bytes.
    pub start: u64,
    /// Where it ends.
    pub end: u64,
    /// Title of the document.
    pub title: String,
    /// The text of the passage.
    pub text: String,
    /// Metadata of the document, as JSON.
    pub metadata: String,
    /// Its vector.
    pub vector: Vec<f32>,
}

/// Writes passages as Parquet: a column for each field of [`PassageRow`], `vector` as a list of fixed size. What is
/// not finished is no Parquet file.
pub struct PassageWriter {
    place: Place,
    schema: SchemaRef,
    dimension: i32,
    waiting: Vec<PassageRow>,
    output: ArrowWriter<BufWriter<File>>,
}

impl PassageWriter {
    /// Creates a file; what was there is overwritten.
    ///
    /// # Errors
    /// When it cannot be created or written.
    pub fn create(path: &Path, schema: &VectorSchema) -> Result<Self, DataError> {
        let place = Place::file(&Arc::from(path));
        let fail = |reason| DataError::new(place.clone(), reason);
        let dimension = i32::try_from(schema.dimension).map_err(|_| {
            fail(Reason::Settings(format!(
                "{} dimensions; accepted: below 2^31",
                schema.dimension
            )))
        })?;
        let columns = columns(schema, dimension);
        let file = File::create(path).map_err(|error| fail(error.into()))?;
        let output = ArrowWriter::try_new(
            BufWriter::new(file),
            Arc::clone(&columns),
            Some(properties(schema)),
        );
        Ok(Self {
            output: output.map_err(|error| fail(not_written(error)))?,
            schema: columns,
            dimension,
            waiting: Vec::new(),
            place,
        })
    }

    /// Writes a passage; some thousand may be held until they fill a batch.
    ///
    /// # Errors
    /// When it cannot be written, or its vector is of another dimension.
    pub fn write(&mut self, row: PassageRow) -> Result<(), DataError> {
        self.waiting.push(row);
        if self.waiting.len() < BATCH_ROWS {
            return Ok(());
        }
        self.write_batch()
    }

    fn write_batch(&mut self) -> Result<(), DataError> {
        let rows = std::mem::take(&mut self.waiting);
        let written = batch(&self.schema, self.dimension, rows)
            .and_then(|batch| self.output.write(&batch).map_err(not_written));
        written.map_err(|reason| DataError::new(self.place.clone(), reason))
    }

    /// Ends the file and makes it durable.
    ///
    /// # Errors
    /// When that fails; the file is then not to be used.
    pub fn finish(mut self) -> Result<(), DataError> {
        self.write_batch()?;
        let fail = |reason| DataError::new(self.place.clone(), reason);
        let mut file = self
            .output
            .into_inner()
            .map_err(|error| fail(not_written(error)))?;
        let synced = file.flush().and_then(|()| file.get_ref().sync_all());
        synced.map_err(|error| fail(error.into()))
    }
}

fn columns(schema: &VectorSchema, dimension: i32) -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let fields = vec![
        text("document"),
        Field::new("chunk", DataType::UInt32, false),
        Field::new("start", DataType::UInt64, false),
        Field::new("end", DataType::UInt64, false),
        text("title"),
        text("text"),
        text("metadata"),
        Field::new("vector", DataType::FixedSizeList(component(), dimension), false),
    ];
    let about: HashMap<String, String> = schema.about.iter().cloned().collect();
    Arc::new(Schema::new_with_metadata(fields, about))
}

fn batch(schema: &SchemaRef, dimension: i32, rows: Vec<PassageRow>) -> Result<RecordBatch, Reason> {
    let text = |value: fn(&PassageRow) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
    };
    let bytes = |value: fn(&PassageRow) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(rows.iter().map(value)))
    };
    let values: Vec<f32> = rows.iter().flat_map(|row| row.vector.iter().copied()).collect();
    let values: ArrayRef = Arc::new(Float32Array::from(values));
    let vectors = FixedSizeListArray::try_new(component(), dimension, values, None).map_err(refused)?;
    let columns: Vec<ArrayRef> = vec![
        text(|row| &row.document),
        Arc::new(UInt32Array::from_iter_values(rows.iter().map(|row| row.chunk))),
        bytes(|row| row.start),
        bytes(|row| row.end),
        text(|row| &row.title),
        text(|row| &row.text),
        text(|row| &row.metadata),
        Arc::new(vectors),
    ];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(refused)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use arrow::array::AsArray;
    use arrow::datatypes::{Float32Type, UInt32Type, UInt64Type};
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;

    #[test]
    fn passages_come_back_from_parquet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passages.parquet");
        let rows: Vec<PassageRow> = (0..3 * BATCH_ROWS as u32 / 2)
            .map(|n| PassageRow {
                document: format!("document {}", n / 2),
                chunk: n % 2,
                start: u64::from(n),
                end: u64::from(n) + 5,
                title: "Tïtle".to_owned(),
                text: format!("text {n}\nof two lines"),
                metadata: format!("{{\"n\":{n}}}"),
                vector: vec![n as f32, 0.5],
            })
            .collect();
        let about = vec![("model".to_owned(), "m".to_owned())];
        let mut writer = PassageWriter::create(&path, &VectorSchema { dimension: 2, about }).unwrap();
        for row in &rows {
            writer.write(row.clone()).unwrap();
        }
        writer.finish().unwrap();

        let builder = ParquetRecordBatchReaderBuilder::try_new(File::open(&path).unwrap()).unwrap();
        assert_eq!(builder.schema().metadata()["model"], "m");
        let mut found = Vec::new();
        for batch in builder.build().unwrap() {
            let batch = batch.unwrap();
            let text = |name: &str, at: usize| {
                batch
                    .column_by_name(name)
                    .unwrap()
                    .as_string::<i32>()
                    .value(at)
                    .to_owned()
            };
            let bytes = |name: &str, at: usize| {
                batch
                    .column_by_name(name)
                    .unwrap()
                    .as_primitive::<UInt64Type>()
                    .value(at)
            };
            let vectors = batch.column_by_name("vector").unwrap().as_fixed_size_list();
            for at in 0..batch.num_rows() {
                found.push(PassageRow {
                    document: text("document", at),
                    chunk: batch
                        .column_by_name("chunk")
                        .unwrap()
                        .as_primitive::<UInt32Type>()
                        .value(at),
                    start: bytes("start", at),
                    end: bytes("end", at),
                    title: text("title", at),
                    text: text("text", at),
                    metadata: text("metadata", at),
                    vector: vectors.value(at).as_primitive::<Float32Type>().values().to_vec(),
                });
            }
        }
        assert_eq!(found, rows);
    }

    #[test]
    fn a_vector_of_another_dimension_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passages.parquet");
        let schema = VectorSchema {
            dimension: 2,
            about: Vec::new(),
        };
        let mut writer = PassageWriter::create(&path, &schema).unwrap();
        let row = PassageRow {
            document: "a".to_owned(),
            chunk: 0,
            start: 0,
            end: 1,
            title: String::new(),
            text: "a".to_owned(),
            metadata: "{}".to_owned(),
            vector: vec![1.0],
        };
        writer.write(row).unwrap();
        assert!(
            writer
                .finish()
                .unwrap_err()
                .to_string()
                .starts_with(&path.display().to_string())
        );
    }
}
