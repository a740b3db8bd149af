//! A bound on the memory of an indexing run.

use std::fs;

use anyhow::{Context, bail};
use index::{MergeSettings, WriterSettings};

/// What the model takes for the texts that it reads at once, and what has no size of its own.
const WORKING_BYTES: u64 = 64 << 20;
/// Least for segments: a smaller bound would make very many.
const SEGMENT_BYTES_MIN: u64 = 16 << 20;
/// What a merge holds of each passage: its links and those of the graph under construction, and the document's id. The
/// vector in 8 + 8 bits lies in a file, but is read all over while the graph is built, so it should stay in memory.
const MERGED_PASSAGE_BYTES: u64 = 700;

/// Reads a number of bytes: `512MiB`, `2GiB`, `2G`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let refuse = || format!("{text:?}; accepted: a whole number with MiB or GiB, for instance 2GiB");
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "M" | "MB" | "MiB" => 20,
        "G" | "GB" | "GiB" => 30,
        _ => return Err(refuse()),
    };
    let number: u64 = digits.parse().map_err(|_| refuse())?;
    number.checked_mul(1 << shift).ok_or_else(refuse)
}

/// How to write and merge when the process may take so many bytes; called when the models are open.
///
/// # Errors
/// When the bytes are too few, or the process cannot be asked what it takes already.
pub(crate) fn within(
    bytes: u64,
    threads: usize,
    dimension: usize,
) -> anyhow::Result<(WriterSettings, MergeSettings)> {
    let taken = resident_bytes()?;
    let least = taken + WORKING_BYTES + 2 * SEGMENT_BYTES_MIN;
    if bytes < least {
        bail!(
            "--memory {} MiB: the model and what it works on take {} MiB; accepted are {} MiB and more",
            bytes >> 20,
            (taken + WORKING_BYTES) >> 20,
            (least >> 20) + 1
        );
    }
    let free = bytes - taken - WORKING_BYTES;
    let writing = WriterSettings {
        // What is held is written through buffers of about its own size.
        segment_memory_max: free / 2,
        ..WriterSettings::default()
    };
    let merging = MergeSettings {
        threads,
        passages_max: u32::try_from(free / (MERGED_PASSAGE_BYTES + 2 * dimension as u64))
            .unwrap_or(u32::MAX)
            .min(MergeSettings::default().passages_max),
        ..MergeSettings::default()
    };
    Ok((writing, merging))
}

/// Memory of this process that is not a file's.
fn resident_bytes() -> anyhow::Result<u64> {
    let path = "/proc/self/status";
    let status =
        fs::read_to_string(path).context("--memory needs /proc, which tells what a process takes")?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.with_context(|| format!("{path} does not say RssAnon"))? << 10)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(size("2GiB"), Ok(2 << 30));
        assert_eq!(size("512M"), Ok(512 << 20));
        for wrong in ["", "2", "GiB", "2TiB", "-1G", "1.5G", "99999999999G", "2 GiB"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn too_little_is_refused_with_what_is_enough() {
        let error = within(1 << 20, 1, 384).unwrap_err().to_string();
        assert!(error.contains("accepted are"), "{error}");
        let (writing, merging) = within(64 << 30, 1, 384).unwrap();
        assert!(writing.segment_memory_max > 16 << 30);
        assert_eq!(merging.passages_max, MergeSettings::default().passages_max);
    }
}
