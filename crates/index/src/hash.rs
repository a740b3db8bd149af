//! Whether a document is the one that is stored.

use corpus::Document;
use xxhash_rust::xxh3::Xxh3;

/// XXH3-64 of a document's title, text and metadata; the id does not count.
pub fn content_hash(document: &Document) -> u64 {
    let mut hash = Xxh3::new();
    let metadata = metadata_bytes(document);
    // Lengths first, so that no two documents give the same bytes.
    for part in [document.title.as_bytes(), document.text.as_bytes(), &metadata] {
        hash.update(&(part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.digest()
}

/// Metadata as JSON; nothing when there is none.
fn metadata_bytes(document: &Document) -> Vec<u8> {
    if document.metadata.is_empty() {
        return Vec::new();
    }
    serde_json::to_vec(&document.metadata).expect("metadata is a map with string keys and finite numbers")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    #[test]
    fn every_part_counts_but_the_id() {
        let read = |json: &str| content_hash(&serde_json::from_str::<Document>(json).unwrap());
        let hash = read(r#"{"id": "1", "title": "ab", "text": "c"}"#);
        assert_eq!(
            hash,
            read(r#"{"id": "2", "title": "ab", "text": "c", "metadata": {}}"#)
        );
        for other in [
            r#"{"id": "1", "title": "a", "text": "bc"}"#,
            r#"{"id": "1", "text": "abc"}"#,
            r#"{"id": "1", "title": "ab", "text": "c", "metadata": {"n": 1}}"#,
        ] {
            assert_ne!(hash, read(other));
        }
    }
}
