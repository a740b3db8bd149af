//! Which ids a run has met, and where: two documents of one id in one run are a mistake.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use corpus::DocumentId;
use data::Place;
use xxhash_rust::xxh3::xxh3_128;

/// The ids met so far, by a hash of 128 bits; about 50 bytes for each.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    places: HashMap<u128, (u32, u64)>,
    files: Vec<Arc<Path>>,
}

impl Seen {
    /// Notes an id; returns the earlier place when there was one.
    pub(crate) fn note(&mut self, id: &DocumentId, place: &Place) -> Option<Place> {
        if self.files.last() != Some(&place.file) {
            self.files.push(Arc::clone(&place.file));
        }
        let here = ((self.files.len() - 1) as u32, place.line.unwrap_or(0));
        match self.places.entry(xxh3_128(id.as_str().as_bytes())) {
            std::collections::hash_map::Entry::Occupied(entry) => {
                let (file, line) = *entry.get();
                let file = &self.files[file as usize];
                Some(match line {
                    0 => Place::file(file),
                    line => Place::line(file, line),
                })
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(here);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn the_earlier_place_is_returned() {
        let (a, b): (Arc<Path>, Arc<Path>) = (Arc::from(Path::new("a")), Arc::from(Path::new("b")));
        let (one, two) = (DocumentId::new("1").unwrap(), DocumentId::new("2").unwrap());
        let mut seen = Seen::default();
        assert_eq!(seen.note(&one, &Place::line(&a, 3)), None);
        assert_eq!(seen.note(&two, &Place::file(&b)), None);
        assert_eq!(seen.note(&one, &Place::line(&b, 9)), Some(Place::line(&a, 3)));
        assert_eq!(seen.note(&two, &Place::line(&a, 1)), Some(Place::file(&b)));
    }
}
