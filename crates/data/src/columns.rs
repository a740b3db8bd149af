//! Parquet and Arrow IPC (file and stream): batches of columns, read as rows.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type, Int64Type, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use corpus::Document;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value as Json};

use crate::error::{DataError, Located, Place, Reason};
use crate::mapping::{Cells, Mapping};
use crate::source::Meter;

/// Rows that are held at once.
const BATCH_ROWS: usize = 256;

pub(crate) const GAVE_UP: &str = "the content contradicts itself";

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

/// Documents out of a Parquet file.
pub(crate) fn parquet(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    meter: &Meter,
) -> Result<Rows, DataError> {
    let input = File::open(&**file).map_err(|error| DataError::new(Place::file(file), error))?;
    opened(file, || open_parquet(file, name, mapping, meter, input))
}

fn open_parquet(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    meter: &Meter,
    input: File,
) -> Result<Rows, DataError> {
    let bytes = input.metadata().map_or(0, |metadata| metadata.len());
    let damaged = |error: ::parquet::errors::ParquetError| damaged(Place::file(file), &error);
    let builder = ParquetRecordBatchReaderBuilder::try_new(input).map_err(damaged)?;
    let rows = builder.metadata().file_metadata().num_rows().max(0) as u64;
    let reader = builder.with_batch_size(BATCH_ROWS).build().map_err(damaged)?;
    let schema = arrow::record_batch::RecordBatchReader::schema(&reader);
    let progress = Progress::new(meter, bytes, rows);
    Rows::new(file, name, mapping, schema, Box::new(reader), progress)
}

/// Documents out of an Arrow IPC file or stream; which of the two it is stands in its first bytes.
pub(crate) fn arrow(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    meter: &Meter,
) -> Result<Rows, DataError> {
    let fail = |error| DataError::new(Place::file(file), error);
    let mut input = File::open(&**file).map_err(fail)?;
    let bytes = input.metadata().map_or(0, |metadata| metadata.len());
    let mut magic = Vec::new();
    input.by_ref().take(6).read_to_end(&mut magic).map_err(fail)?;
    input.rewind().map_err(fail)?;
    let is_file = magic == b"ARROW1";
    opened(file, || {
        open_arrow(
            file,
            name,
            mapping,
            Progress::new(meter, bytes, 0),
            input,
            is_file,
        )
    })
}

/// Neither form of Arrow says how many rows there are: progress moves when the file is done.
fn open_arrow(
    file: &Arc<Path>,
    name: String,
    mapping: Mapping,
    progress: Progress,
    input: File,
    is_file: bool,
) -> Result<Rows, DataError> {
    let input = BufReader::new(input);
    let damaged = |error: ArrowError| damaged(Place::file(file), &error);
    let (schema, batches): (SchemaRef, Batches) = match is_file {
        true => {
            let reader = FileReader::try_new(input, None).map_err(damaged)?;
            (reader.schema(), Box::new(reader))
        }
        false => {
            let reader = StreamReader::try_new(input, None).map_err(damaged)?;
            (reader.schema(), Box::new(reader))
        }
    };
    Rows::new(file, name, mapping, schema, batches, progress)
}

pub(crate) fn damaged(place: Place, error: &dyn std::fmt::Display) -> DataError {
    DataError::new(place, Reason::Damaged(error.to_string()))
}

/// What `read` returns, none when it panics: the readers of both formats assert on some damaged files.
pub(crate) fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok()
}

fn opened(file: &Arc<Path>, open: impl FnOnce() -> Result<Rows, DataError>) -> Result<Rows, DataError> {
    caught(open).unwrap_or_else(|| Err(damaged(Place::file(file), &GAVE_UP)))
}

/// Turns rows into bytes of the file, so that progress moves within it.
struct Progress {
    meter: Meter,
    start: u64,
    bytes: u64,
    rows: u64,
}

impl Progress {
    fn new(meter: &Meter, bytes: u64, rows: u64) -> Self {
        let (meter, start) = (meter.clone(), meter.bytes());
        Self {
            meter,
            start,
            bytes,
            rows,
        }
    }

    fn at(&self, row: u64) {
        if self.rows > 0 {
            let share = row as f64 / self.rows as f64;
            self.meter
                .set(self.start + (self.bytes as f64 * share.min(1.0)) as u64);
        }
    }

    fn done(&self) {
        self.meter.set(self.start + self.bytes);
    }
}

/// The rows of a file of columns as documents.
pub(crate) struct Rows {
    file: Arc<Path>,
    name: String,
    mapping: Mapping,
    batches: Batches,
    batch: Option<RecordBatch>,
    /// The next row of `batch`, and the number of the last row from the start of the file, from 1.
    next: usize,
    row: u64,
    progress: Progress,
}

impl Rows {
    fn new(
        file: &Arc<Path>,
        name: String,
        mapping: Mapping,
        schema: SchemaRef,
        batches: Batches,
        progress: Progress,
    ) -> Result<Self, DataError> {
        let mut names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let reason = Reason::Settings(format!(
                "two columns are named {:?}; accepted: distinct names",
                pair[0]
            ));
            return Err(DataError::new(Place::file(file), reason));
        }
        Ok(Self {
            file: Arc::clone(file),
            name,
            mapping,
            batches,
            batch: None,
            next: 0,
            row: 0,
            progress,
        })
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        let batches = &mut self.batches;
        let next = caught(|| batches.next().map(|batch| batch.and_then(|batch| plain(&batch))));
        next.unwrap_or_else(|| Some(Err(ArrowError::ParseError(GAVE_UP.to_owned()))))
    }

    fn document(&self, batch: &RecordBatch, index: usize) -> Result<Located<Document>, DataError> {
        let place = Place::line(&self.file, self.row);
        let mut row = Map::new();
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let value = cell(column.as_ref(), index).map_err(|found| {
                let reason = Reason::Kind {
                    field: field.name().clone(),
                    found,
                    accepted: "strings, numbers, booleans, dates, and lists and structures of these",
                };
                DataError::new(place.clone(), reason)
            })?;
            row.insert(field.name().clone(), value);
        }
        let generated = || format!("{}#{}", self.name, self.row);
        match self.mapping.document(&row, Cells::Typed, generated) {
            Ok(value) => Ok(Located { value, place }),
            Err(mismatch) => {
                let raw = Json::Object(row).to_string();
                Err(DataError::new(place, mismatch.reason).with_raw(&raw))
            }
        }
    }
}

impl Iterator for Rows {
    type Item = Result<Located<Document>, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(batch) = self.batch.as_ref().filter(|batch| self.next < batch.num_rows()) {
                self.row += 1;
                self.next += 1;
                return Some(self.document(batch, self.next - 1));
            }
            self.progress.at(self.row);
            match self.next_batch() {
                Some(Ok(batch)) => (self.batch, self.next) = (Some(batch), 0),
                Some(Err(error)) => {
                    self.batch = None;
                    self.batches = Box::new(std::iter::empty());
                    return Some(Err(damaged(Place::line(&self.file, self.row + 1), &error)));
                }
                None => {
                    self.progress.done();
                    return None;
                }
            }
        }
    }
}

/// The same batch with dictionaries spelled out and decimals as floats.
fn plain(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let columns = batch.schema_ref().fields().iter().zip(batch.columns());
    let columns = columns.map(|(field, column)| {
        let column = match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values)?,
            kind if kind.is_decimal() => cast(column, &DataType::Float64)?,
            _ => Arc::clone(column),
        };
        Ok((field.name().as_str(), column, true))
    });
    let columns: Vec<_> = columns.collect::<Result<_, ArrowError>>()?;
    match columns.is_empty() {
        true => Ok(batch.clone()),
        false => RecordBatch::try_from_iter_with_nullable(columns),
    }
}

/// One cell as JSON, or what it is when it cannot be read.
fn cell(column: &dyn Array, row: usize) -> Result<Json, String> {
    if column.is_null(row) {
        return Ok(Json::Null);
    }
    let kind = column.data_type();
    Ok(match kind {
        DataType::Null => Json::Null,
        DataType::Boolean => Json::Bool(column.as_boolean().value(row)),
        DataType::Utf8 => column.as_string::<i32>().value(row).into(),
        DataType::LargeUtf8 => column.as_string::<i64>().value(row).into(),
        DataType::Utf8View => column.as_string_view().value(row).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).into(),
        DataType::Float16 => column.as_primitive::<Float16Type>().value(row).to_f64().into(),
        // By way of its decimal form, so that 0.1 stays 0.1.
        DataType::Float32 => {
            let number = column.as_primitive::<Float32Type>().value(row);
            number
                .to_string()
                .parse::<f64>()
                .map_err(|error| error.to_string())?
                .into()
        }
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).into(),
        kind if kind.is_integer() => {
            let wide = cast(&column.slice(row, 1), &DataType::Int64).map_err(|error| error.to_string())?;
            wide.as_primitive::<Int64Type>().value(0).into()
        }
        DataType::Timestamp(_, zone) => date(column, row, if zone.is_none() { "Z" } else { "" })?,
        DataType::Date32 => date(column, row, "")?,
        DataType::Date64 => {
            let day = cast(&column.slice(row, 1), &DataType::Date32).map_err(|error| error.to_string())?;
            date(&day, 0, "")?
        }
        DataType::List(_) => list(column.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list(column.as_list::<i64>().value(row).as_ref())?,
        DataType::FixedSizeList(..) => list(column.as_fixed_size_list().value(row).as_ref())?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(column.as_struct().columns());
            let entries =
                columns.map(|(field, column)| Ok((field.name().clone(), cell(column.as_ref(), row)?)));
            Json::Object(entries.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("of type {other}")),
    })
}

fn list(values: &dyn Array) -> Result<Json, String> {
    (0..values.len()).map(|row| cell(values, row)).collect()
}

/// As RFC 3339; a time without a zone is taken as UTC.
fn date(column: &dyn Array, row: usize, zone: &str) -> Result<Json, String> {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column, &options).map_err(|error| error.to_string())?;
    let text = formatter
        .value(row)
        .try_to_string()
        .map_err(|error| error.to_string())?;
    Ok(Json::String(text + zone))
}

#[cfg(test)]
#[path = "columns_tests.rs"]
mod tests;
