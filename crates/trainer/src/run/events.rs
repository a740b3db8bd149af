//! Event files as TensorBoard reads them: records framed as TFRecord, each an `Event` message with scalar summaries.
//!
//! The few fields that scalars need are written by hand: `wall_time` (1), `step` (2), `file_version` (3), `summary`
//! (5) and `session_log` (7) of `Event`; `tag` (1) and `simple_value` (2) of `Summary.Value`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::{Result, io};

/// An open event file. Times are seconds since 1970.
pub(super) struct Events {
    path: PathBuf,
    file: File,
}

impl Events {
    /// A new file in `folder` for a sitting whose first values are of this step; what older files say of it and of
    /// later steps is void.
    pub(super) fn create(folder: &Path, step: u64, time: f64) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(io(folder))?;
        // Readers take the files in the order of their names.
        let path = folder.join(format!("events.out.tfevents.{:010}.{step:010}", time as u64));
        let file = File::create(&path).map_err(io(&path))?;
        let mut events = Self { path, file };
        let mut version = event(0, time);
        bytes_field(&mut version, 3, b"brain.Event:2");
        events.write(&version)?;
        let mut start = event(step, time);
        // The status START, which makes readers drop this step and what came after it.
        bytes_field(&mut start, 7, &[0x08, 1]);
        events.write(&start)?;
        Ok(events)
    }

    /// Adds the values of a step.
    pub(super) fn scalars(&mut self, step: u64, time: f64, values: &[(String, f64)]) -> Result<()> {
        let mut summary = Vec::new();
        for (tag, value) in values {
            let mut message = Vec::new();
            bytes_field(&mut message, 1, tag.as_bytes());
            message.push(2 << 3 | 5);
            message.extend((*value as f32).to_le_bytes());
            bytes_field(&mut summary, 1, &message);
        }
        let mut event = event(step, time);
        bytes_field(&mut event, 5, &summary);
        self.write(&event)
    }

    fn write(&mut self, event: &[u8]) -> Result<()> {
        self.file.write_all(&record(event)).map_err(io(&self.path))
    }
}

/// An event with its time and step.
fn event(step: u64, time: f64) -> Vec<u8> {
    let mut event = vec![1 << 3 | 1];
    event.extend(time.to_le_bytes());
    event.push(2 << 3);
    varint(&mut event, step);
    event
}

fn bytes_field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    varint(message, bytes.len() as u64);
    message.extend(bytes);
}

fn varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// Length, its checksum, the data, its checksum.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(data.len() + 16);
    record.extend(length);
    record.extend(masked(crc32c(&length)).to_le_bytes());
    record.extend(data);
    record.extend(masked(crc32c(data)).to_le_bytes());
    record
}

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4), bit by bit: the records are small.
fn crc32c(data: &[u8]) -> u32 {
    let fed = data.iter().fold(u32::MAX, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1))
        })
    });
    !fed
}

/// As TFRecord stores a checksum, so that checksums of checksums do not go wrong.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn checksums_are_those_of_the_specification() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn a_file_has_the_bytes_that_tensorboard_reads() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::create(folder.path(), 300, 2.0).unwrap();
        events.scalars(301, 3.0, &[("loss".into(), 0.5)]).unwrap();
        let name = "events.out.tfevents.0000000002.0000000300";
        let bytes = std::fs::read(folder.path().join(name)).unwrap();
        let mut rest = bytes.as_slice();
        let mut events = Vec::new();
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let data = &rest[12..12 + length];
            assert_eq!(rest[..16 + length], record(data));
            events.push(data.to_vec());
            rest = &rest[16 + length..];
        }
        assert_eq!(events.len(), 3);
        assert!(events[0].ends_with(b"\x1a\x0dbrain.Event:2"));
        assert!(events[1].ends_with(b"\x10\xac\x02\x3a\x02\x08\x01"));
        let scalar = b"\x10\xad\x02\x2a\x0d\x0a\x0b\x0a\x04loss\x15\x00\x00\x00\x3f";
        assert!(events[2].ends_with(scalar), "{:?}", events[2]);
    }
}
