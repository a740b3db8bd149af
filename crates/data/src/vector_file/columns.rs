//! Arrow IPC and Parquet of vectors: the columns `id`, a string, and `vector`, a list of fixed size.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, StringArray};
use arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::{VectorRows, VectorSchema};
use crate::columns::{GAVE_UP, caught, damaged};
use crate::error::{DataError, Place, Reason};

/// Rows of one batch, and of one Parquet row group, which is held in memory until it is full: 12 MiB of 384
/// dimensions.
pub(crate) const BATCH_ROWS: usize = 1024;
const GROUP_ROWS: usize = 8 * BATCH_ROWS;

/// Rows as columns, in batches of [`BATCH_ROWS`].
pub(super) struct Sink {
    schema: SchemaRef,
    dimension: usize,
    waiting: VectorRows,
    output: Output,
}

enum Output {
    Arrow(FileWriter<BufWriter<File>>),
    Parquet(ArrowWriter<BufWriter<File>>),
}

impl Sink {
    pub(super) fn arrow(output: BufWriter<File>, schema: &VectorSchema) -> Result<Self, Reason> {
        Self::new(schema, |schema| {
            Ok(Output::Arrow(
                FileWriter::try_new(output, schema).map_err(refused)?,
            ))
        })
    }

    pub(super) fn parquet(output: BufWriter<File>, schema: &VectorSchema) -> Result<Self, Reason> {
        let properties = properties(schema);
        Self::new(schema, |schema| {
            let writer = ArrowWriter::try_new(output, Arc::clone(schema), Some(properties));
            Ok(Output::Parquet(writer.map_err(not_written)?))
        })
    }

    fn new(
        schema: &VectorSchema,
        open: impl FnOnce(&SchemaRef) -> Result<Output, Reason>,
    ) -> Result<Self, Reason> {
        let dimension = schema.dimension;
        let schema = columns(schema)?;
        Ok(Self {
            output: open(&schema)?,
            schema,
            dimension,
            waiting: VectorRows::default(),
        })
    }

    /// Writes the first `rows` of those that wait.
    fn write_batch(&mut self, rows: usize) -> Result<(), Reason> {
        let later = VectorRows {
            ids: self.waiting.ids.split_off(rows),
            values: self.waiting.values.split_off(rows * self.dimension),
        };
        let rows = std::mem::replace(&mut self.waiting, later);
        let batch = batch(&self.schema, rows)?;
        match &mut self.output {
            Output::Arrow(writer) => writer.write(&batch).map_err(refused),
            Output::Parquet(writer) => writer.write(&batch).map_err(not_written),
        }
    }
}

impl super::Sink for Sink {
    fn write(&mut self, rows: &VectorRows) -> Result<(), Reason> {
        self.waiting.append(rows.clone());
        while self.waiting.len() >= BATCH_ROWS {
            self.write_batch(BATCH_ROWS)?;
        }
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<(), Reason> {
        if !self.waiting.is_empty() {
            self.write_batch(self.waiting.len())?;
        }
        match self.output {
            Output::Arrow(mut writer) => {
                writer.finish().map_err(refused)?;
                writer.flush().map_err(refused)
            }
            Output::Parquet(mut writer) => {
                writer.finish().map_err(not_written)?;
                Ok(std::io::Write::flush(writer.inner_mut())?)
            }
        }
    }
}

fn columns(schema: &VectorSchema) -> Result<SchemaRef, Reason> {
    let size = i32::try_from(schema.dimension)
        .map_err(|_| Reason::Settings(format!("{} dimensions; accepted: below 2^31", schema.dimension)))?;
    let fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("vector", DataType::FixedSizeList(component(), size), false),
    ];
    let about: HashMap<String, String> = schema.about.iter().cloned().collect();
    Ok(Arc::new(Schema::new_with_metadata(fields, about)))
}

pub(crate) fn component() -> FieldRef {
    Arc::new(Field::new("item", DataType::Float32, false))
}

/// Vectors are as good as random bits: neither a dictionary, nor extremes, nor compression do anything for them.
pub(crate) fn properties(schema: &VectorSchema) -> WriterProperties {
    let values = ColumnPath::from(["vector", "list", "item"].map(str::to_owned).to_vec());
    let about = schema.about.iter();
    let about = about.map(|(name, value)| KeyValue::new(name.clone(), value.clone()));
    WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_compression(Compression::SNAPPY)
        .set_column_compression(values.clone(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(values.clone(), false)
        .set_column_statistics_enabled(values, EnabledStatistics::None)
        .set_key_value_metadata(Some(about.collect()))
        .build()
}

fn batch(schema: &SchemaRef, rows: VectorRows) -> Result<RecordBatch, Reason> {
    let DataType::FixedSizeList(component, size) = schema.field(1).data_type() else {
        return Err(Reason::Damaged("the schema has no vectors".to_owned()));
    };
    let values: ArrayRef = Arc::new(Float32Array::from(rows.values));
    let vectors = FixedSizeListArray::try_new(Arc::clone(component), *size, values, None).map_err(refused)?;
    let columns: Vec<ArrayRef> = vec![Arc::new(StringArray::from(rows.ids)), Arc::new(vectors)];
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(refused)
}

pub(crate) fn refused(error: ArrowError) -> Reason {
    match error {
        ArrowError::IoError(_, error) => Reason::Io(error),
        other => Reason::Damaged(other.to_string()),
    }
}

pub(crate) fn not_written(error: ParquetError) -> Reason {
    match error {
        ParquetError::External(error) => match error.downcast::<std::io::Error>() {
            Ok(error) => Reason::Io(*error),
            Err(other) => Reason::Damaged(other.to_string()),
        },
        other => Reason::Damaged(other.to_string()),
    }
}

/// Opens an Arrow IPC file that a [`super::VectorWriter`] wrote.
///
/// # Errors
/// When it cannot be opened, or its columns are others.
pub fn read_vectors(path: &Path) -> Result<VectorBatches, DataError> {
    let place = Place::file(&Arc::from(path));
    let input = File::open(path).map_err(|error| DataError::new(place.clone(), error))?;
    let opened = caught(|| FileReader::try_new(BufReader::new(input), None));
    let reader = match opened {
        Some(Ok(reader)) => reader,
        Some(Err(error)) => return Err(damaged(place, &error)),
        None => return Err(damaged(place, &GAVE_UP)),
    };
    let schema = reader.schema();
    let kinds: Vec<&DataType> = schema.fields().iter().map(|field| field.data_type()).collect();
    match kinds.as_slice() {
        [DataType::Utf8, DataType::FixedSizeList(item, _)] if *item.data_type() == DataType::Float32 => {
            Ok(VectorBatches { reader, place })
        }
        _ => Err(damaged(place, &"the columns are not an id and a vector")),
    }
}

/// The rows of a file of vectors, some thousand at a time.
pub struct VectorBatches {
    reader: FileReader<BufReader<File>>,
    place: Place,
}

impl Iterator for VectorBatches {
    type Item = Result<VectorRows, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = &mut self.reader;
        let next = caught(|| reader.next().map(|batch| batch.map(|batch| rows(&batch))));
        Some(match next {
            None => Err(damaged(self.place.clone(), &GAVE_UP)),
            Some(next) => next?.map_err(|error| damaged(self.place.clone(), &error)),
        })
    }
}

fn rows(batch: &RecordBatch) -> VectorRows {
    let ids = batch.column(0).as_string::<i32>();
    let vectors = batch.column(1).as_fixed_size_list().values();
    VectorRows {
        ids: ids.iter().flatten().map(str::to_owned).collect(),
        values: vectors.as_primitive::<Float32Type>().values().to_vec(),
    }
}
