//! Records of any length, by number.
//!
//! ```text
//! bytes of record 0, of record 1, ...
//! u64 × (n + 1)   where each record starts, and where the last one ends
//! u64             n
//! ```
//! All numbers are little-endian. Mark and version of [`crate::disk::end`] follow.

use std::path::{Path, PathBuf};

use corpus::StoreError;

use crate::disk::Output;
use crate::error::damaged;
use crate::map::Map;

const NUMBER: usize = size_of::<u64>();

pub(crate) struct RecordsWriter {
    output: Output,
    /// Where each record starts; 8 bytes of memory per record until the segment is closed.
    starts: Vec<u64>,
    end: u64,
}

impl RecordsWriter {
    pub(crate) fn create(path: PathBuf) -> Result<Self, StoreError> {
        Ok(Self {
            output: Output::create(path)?,
            starts: Vec::new(),
            end: 0,
        })
    }

    pub(crate) fn push(&mut self, record: &[u8]) -> Result<(), StoreError> {
        self.output.write(record)?;
        self.starts.push(self.end);
        self.end += record.len() as u64;
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Result<(), StoreError> {
        for number in self.starts.iter().chain([&self.end, &(self.starts.len() as u64)]) {
            self.output.write(&number.to_le_bytes())?;
        }
        self.output.finish_marked()
    }
}

#[derive(Debug)]
pub(crate) struct Records {
    map: Map,
    starts: usize,
    len: usize,
}

impl Records {
    pub(crate) fn open(path: PathBuf) -> Result<Self, StoreError> {
        let map = Map::open(path)?;
        let refuse = || {
            damaged(
                map.path(),
                format!("a file of {} bytes cannot hold its records", map.len()),
            )
        };
        let at = map.len().checked_sub(NUMBER).ok_or_else(refuse)?;
        let len = usize::try_from(number(&map, at)?).map_err(|_| refuse())?;
        let table = len
            .checked_add(2)
            .and_then(|numbers| numbers.checked_mul(NUMBER))
            .ok_or_else(refuse)?;
        let starts = map.len().checked_sub(table).ok_or_else(refuse)?;
        Ok(Self { map, starts, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn path(&self) -> &Path {
        self.map.path()
    }

    /// The offset where a record begins.
    pub(crate) fn start(&self, record: u32) -> Result<u64, StoreError> {
        number(&self.map, self.starts + NUMBER * record as usize)
    }

    /// The bytes of a record; an error names the offset of what is wrong.
    pub(crate) fn get(&self, record: u32) -> Result<&[u8], StoreError> {
        let at = self.starts + NUMBER * record as usize;
        if record as usize >= self.len {
            return Err(damaged(
                self.map.path(),
                format!("record {record} of {}", self.len),
            ));
        }
        let (start, end) = (
            number(&self.map, at)? as usize,
            number(&self.map, at + NUMBER)? as usize,
        );
        let bytes = if end <= self.starts {
            self.map.get(start..end)
        } else {
            None
        };
        bytes.ok_or_else(|| {
            damaged(
                self.map.path(),
                format!("byte {at}: record {record} spans {start}..{end}"),
            )
        })
    }
}

fn number(map: &Map, offset: usize) -> Result<u64, StoreError> {
    map.array(offset).map(u64::from_le_bytes)
}
