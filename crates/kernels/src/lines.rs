//! Memory in cache lines, owned or shared with whoever holds it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytemuck::{Pod, Zeroable};

/// Units that fill a cache line, so that vectors of weights never cross one.
#[derive(Debug, Clone, Copy, Default, Pod, Zeroable)]
#[repr(C, align(64))]
pub(crate) struct Line([u32; LINE]);

/// Units of 32 bits in a cache line.
pub(crate) const LINE: usize = 16;

/// Bytes of a cache line.
const LINE_BYTES: usize = size_of::<Line>();

/// Bytes that somebody holds, for example a mapped file.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Whole cache lines of 64 bytes. Clones of shared ones share them.
#[derive(Clone)]
pub struct Lines(Storage);

#[derive(Clone)]
enum Storage {
    Owned(Vec<Line>),
    /// The bytes of the range are whole lines at an address of lines.
    Shared(SharedBytes, Range<usize>),
}

impl Lines {
    /// The lines in a range of bytes, without a copy; none when the range is not within the bytes, or not whole
    /// lines at an address that is a multiple of 64.
    pub fn share(bytes: SharedBytes, range: Range<usize>) -> Option<Self> {
        let part = bytes.as_ref().as_ref().get(range.clone())?;
        bytemuck::try_cast_slice::<u8, Line>(part).ok()?;
        Some(Self(Storage::Shared(bytes, range)))
    }

    /// Number of lines.
    pub fn count(&self) -> usize {
        self.get().len()
    }

    /// Everything as bytes, in this machine's order.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.get())
    }

    /// Everything as floats.
    pub fn floats(&self) -> &[f32] {
        bytemuck::cast_slice(self.get())
    }

    pub(crate) fn units(&self) -> &[u32] {
        bytemuck::cast_slice(self.get())
    }

    fn get(&self) -> &[Line] {
        match &self.0 {
            Storage::Owned(lines) => lines,
            Storage::Shared(bytes, range) => bytemuck::cast_slice(&bytes.as_ref().as_ref()[range.clone()]),
        }
    }
}

impl From<Vec<Line>> for Lines {
    fn from(lines: Vec<Line>) -> Self {
        Self(Storage::Owned(lines))
    }
}

impl From<&[f32]> for Lines {
    /// The values, filled up with zeros to whole lines.
    fn from(values: &[f32]) -> Self {
        let mut lines = vec![Line::default(); values.len().div_ceil(LINE)];
        bytemuck::cast_slice_mut(&mut lines)[..values.len()].copy_from_slice(values);
        lines.into()
    }
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Lines({} × {LINE_BYTES} bytes)", self.count())
    }
}

impl Line {
    #[inline]
    pub(crate) fn set(&mut self, at: usize, unit: u32) {
        self.0[at] = unit;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
mod tests {
    use super::*;

    #[test]
    fn shared_lines_are_whole_aligned_and_within() {
        let owned = Lines::from([1.5_f32; 40].as_slice());
        assert_eq!(owned.count(), 3);
        assert_eq!(owned.floats()[38..42], [1.5, 1.5, 0.0, 0.0]);

        struct Held(Lines);
        impl AsRef<[u8]> for Held {
            fn as_ref(&self) -> &[u8] {
                self.0.bytes()
            }
        }
        let held: SharedBytes = Arc::new(Held(owned.clone()));
        let shared = Lines::share(held.clone(), 64..192).unwrap();
        assert_eq!(shared.floats(), &owned.floats()[16..]);
        for refused in [0..100, 4..68, 128..256] {
            assert!(
                Lines::share(held.clone(), refused.clone()).is_none(),
                "{refused:?}"
            );
        }
    }
}
