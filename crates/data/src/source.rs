//! Opening files: decompression by extension, and a count of the bytes that were read.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

pub(crate) const BUFFER_BYTES: usize = 64 << 10;

/// How many bytes of the files were read so far, as they lie on disk. Clones share the count.
#[derive(Debug, Clone, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// The bytes read so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, bytes: u64) {
        self.0.store(bytes, Ordering::Relaxed);
    }
}

struct Metered<R> {
    inner: R,
    meter: Meter,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(buffer)?;
        self.meter.add(bytes as u64);
        Ok(bytes)
    }
}

/// Opens a file for reading front to back; `.zst` and `.gz` are decompressed, `-` is the standard input.
pub(crate) fn open(path: &Path, meter: &Meter) -> io::Result<Box<dyn BufRead + Send>> {
    let meter = meter.clone();
    if path == Path::new("-") {
        let stdin = Metered {
            inner: io::stdin(),
            meter,
        };
        return Ok(Box::new(BufReader::with_capacity(BUFFER_BYTES, stdin)));
    }
    let inner = File::open(path)?;
    let file = BufReader::with_capacity(BUFFER_BYTES, Metered { inner, meter });
    Ok(match path.extension().and_then(|e| e.to_str()) {
        Some("zst") => Box::new(BufReader::with_capacity(
            BUFFER_BYTES,
            zstd::stream::read::Decoder::with_buffer(file)?,
        )),
        Some("gz") => Box::new(BufReader::with_capacity(BUFFER_BYTES, MultiGzDecoder::new(file))),
        _ => Box::new(file),
    })
}

/// The extension that names the format: lower case, with `.zst` and `.gz` taken off.
pub(crate) fn extension(path: &Path) -> String {
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    let name = [".zst", ".gz"]
        .iter()
        .find_map(|packed| name.strip_suffix(packed))
        .unwrap_or(&name);
    match name.rsplit_once('.') {
        Some((_, extension)) => extension.to_owned(),
        None => String::new(),
    }
}
