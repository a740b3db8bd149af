//! What is left when the work stops between any two changes to the disk, or when the disk refuses one.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use corpus::{
    Document, DocumentId, MatchingQuery, PreparedDocument, PreparedPassage, QueryText, ReadStore, StoreError,
    TitleUse, WriteStore,
};
use tempfile::TempDir;

use crate::disk::faults;
use crate::{Index, Settings, Snapshot, Writer, WriterSettings, verify};

fn settings() -> Settings {
    Settings {
        dimension: 2,
        fingerprint: "model".into(),
        model: "bundled".into(),
        titles: TitleUse::Join,
        language: "english".into(),
        fold_accents: true,
        title_weight: 1,
        bm25: crate::Bm25::default(),
        chunk_tokens: 256,
        chunk_overlap: 32,
    }
}

fn document(id: &str, text: &str) -> PreparedDocument {
    let vector = vec![0.6, 0.8];
    let passages = vec![PreparedPassage {
        span: 0..text.len(),
        vector,
    }];
    let id = DocumentId::new(id).unwrap();
    let document = Document {
        id,
        title: String::new(),
        text: text.into(),
        metadata: Default::default(),
    };
    PreparedDocument { document, passages }
}

/// An index in its first state: documents a, b, c in segments of two.
fn first_state() -> (TempDir, Index, Writer) {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let limits = WriterSettings {
        segment_passages_max: 2,
        ..WriterSettings::default()
    };
    let mut writer = index.writer(limits).unwrap();
    writer
        .add(["a", "b", "c"].map(|id| document(id, "old words")).into())
        .unwrap();
    writer.commit().unwrap();
    (folder, index, writer)
}

/// To the second state: a is replaced, b is deleted, d and e are new.
fn second_state(writer: &mut Writer) -> Result<(), StoreError> {
    writer.add(["a", "d", "e"].map(|id| document(id, "new words")).into())?;
    writer.delete(&DocumentId::new("b").unwrap())?;
    writer.commit().map(drop)
}

const FIRST: [(&str, &str); 3] = [("a", "old words"), ("b", "old words"), ("c", "old words")];
const SECOND: [(&str, &str); 4] = [
    ("a", "new words"),
    ("c", "old words"),
    ("d", "new words"),
    ("e", "new words"),
];

fn state(snapshot: &Snapshot) -> Vec<(String, String)> {
    let ids = snapshot.document_ids(None, 100).unwrap();
    let text = |id: &DocumentId| snapshot.document(id).unwrap().unwrap().text;
    let found = snapshot
        .matching(&MatchingQuery {
            words: QueryText::plain("word"),
            k: 100,
            filter: None,
        })
        .unwrap();
    assert_eq!(found.len(), ids.len(), "every document is found by its words");
    ids.iter().map(|id| (id.to_string(), text(id))).collect()
}

fn is<const N: usize>(state: &[(String, String)], expected: [(&str, &str); N]) -> bool {
    state
        .iter()
        .map(|(id, text)| (id.as_str(), text.as_str()))
        .eq(expected)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)
        } else {
            drop(std::fs::copy(entry.path(), target))
        }
    }
}

#[test]
fn a_stop_between_any_two_changes_leaves_a_whole_state() {
    let (folder, _index, mut writer) = first_state();
    let copies = tempfile::tempdir().unwrap();
    let taken = Rc::new(RefCell::new(0));
    let (from, to, count) = (
        folder.path().to_owned(),
        copies.path().to_owned(),
        Rc::clone(&taken),
    );
    let stop = move |_: &Path| {
        copy(&from, &to.join(count.borrow().to_string()));
        *count.borrow_mut() += 1;
        Ok(())
    };
    faults::with(stop, || second_state(&mut writer)).unwrap();
    let taken = *taken.borrow();
    assert!(taken > 20, "only {taken} changes were seen");
    let mut second_seen = false;
    for n in 0..taken {
        let stopped = copies.path().join(n.to_string());
        let index = Index::open(&stopped).unwrap();
        let found = state(&index.snapshot().unwrap());
        assert_eq!(is(&found, FIRST), !is(&found, SECOND), "at change {n}: {found:?}");
        assert!(
            is(&found, SECOND) || !second_seen,
            "the commit came undone at change {n}"
        );
        second_seen |= is(&found, SECOND);
        assert_eq!(verify(&stopped).unwrap().problems, []);
        let mut writer = index.writer(WriterSettings::default()).unwrap();
        second_state(&mut writer).unwrap();
        assert!(is(&state(&index.snapshot().unwrap()), SECOND));
        // The commit after the next one has removed what the stop left behind.
        writer.add(vec![document("f", "new words")]).unwrap();
        writer.commit().unwrap();
        drop(writer);
        drop(index.writer(WriterSettings::default()).unwrap());
        assert_eq!(verify(&stopped).unwrap().unlisted, [""; 0].map(PathBuf::from));
    }
    assert!(second_seen, "files are removed after the commit");
}

#[test]
fn a_full_disk_takes_back_what_was_not_committed_and_nothing_else() {
    let mut ended = 0;
    for n in 0.. {
        let (folder, index, mut writer) = first_state();
        let before = index.snapshot().unwrap();
        let mut changes = 0;
        let hit = Rc::new(RefCell::new(None));
        let seen = Rc::clone(&hit);
        let full = move |path: &Path| {
            changes += 1;
            if changes - 1 != n {
                return Ok(());
            }
            *seen.borrow_mut() = Some(path.to_owned());
            Err(io::ErrorKind::StorageFull.into())
        };
        let outcome = faults::with(full, || second_state(&mut writer));
        let Some(path) = hit.take() else {
            assert!(
                n > 20 && ended > 5,
                "only {n} changes were seen, {ended} to make something durable"
            );
            break;
        };
        assert!(is(&state(&before), FIRST), "change {n}: the snapshot of before");
        let after = state(&index.snapshot().unwrap());
        match outcome {
            // Only what comes after the commit may fail unseen.
            Ok(()) => assert!(is(&after, SECOND), "change {n} at {}", path.display()),
            Err(StoreError::DiskFull { path: named }) => {
                assert_eq!(named, path);
                // When the folder cannot be synced the manifest stands there already.
                assert!(
                    is(&after, FIRST) || path == folder.path(),
                    "change {n} at {}",
                    path.display()
                );
            }
            Err(StoreError::Sync { path: named, .. }) => {
                assert_eq!(named, path);
                assert!(
                    is(&after, FIRST) || path == folder.path(),
                    "change {n} at {}",
                    path.display()
                );
                let refused = second_state(&mut writer);
                assert!(matches!(refused, Err(StoreError::Sync { path: named, .. }) if named == path));
                drop(writer);
                writer = index.writer(WriterSettings::default()).unwrap();
                ended += 1;
            }
            Err(other) => panic!("change {n}: {other}"),
        }
        second_state(&mut writer).unwrap();
        assert!(
            is(&state(&index.snapshot().unwrap()), SECOND),
            "change {n}: writing works again"
        );
        assert_eq!(verify(folder.path()).unwrap().problems, []);
    }
}

/// The device `/dev/full` refuses every byte, as a full disk does.
#[cfg(target_os = "linux")]
#[test]
fn a_device_without_room_is_named() {
    use std::os::unix::fs::symlink;
    for name in [
        "ids",
        "texts",
        "metadata",
        "documents",
        "passages",
        "vectors.tmp",
        "manifest.json.tmp",
    ] {
        let (folder, index, mut writer) = first_state();
        let segment = crate::manifest::segment_folder(folder.path(), 3);
        let place = if name.starts_with("manifest") {
            folder.path().to_owned()
        } else {
            segment
        };
        std::fs::create_dir_all(&place).unwrap();
        symlink("/dev/full", place.join(name)).unwrap();
        match second_state(&mut writer) {
            Err(StoreError::DiskFull { path }) => assert_eq!(path, place.join(name)),
            other => panic!("{name}: {other:?}"),
        }
        assert!(is(&state(&index.snapshot().unwrap()), FIRST), "{name}");
        second_state(&mut writer).unwrap();
        assert!(is(&state(&index.snapshot().unwrap()), SECOND), "{name}");
    }
}
