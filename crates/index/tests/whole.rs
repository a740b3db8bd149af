//! Copies of an index, and indexes that become parts of others.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{document, id, settings, small_segments};
use corpus::{ReadStore, StoreError, WriteStore};
use index::{Index, Settings, WriterSettings, verify};
use serde_json::json;

/// An index of the documents of these numbers, in segments of a few passages.
fn index(folder: &Path, numbers: std::ops::Range<usize>, text: &str) -> Index {
    let index = Index::create(folder, settings()).unwrap();
    let mut writer = index.writer(small_segments(3)).unwrap();
    for n in numbers {
        writer
            .add(vec![document(n, "Title", &[text], json!({"n": n}))])
            .unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    index
}

fn text(index: &Index, n: usize) -> Option<String> {
    let found = index.snapshot().unwrap().document(&id(n)).unwrap();
    found.map(|document| document.text.trim_end().to_owned())
}

fn sound(folder: &Path) {
    assert_eq!(verify(folder).unwrap().problems, []);
}

#[test]
fn a_copy_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    let original = index(&from, 0..10, "Old words.");
    original
        .writer(small_segments(3))
        .unwrap()
        .delete(&id(3))
        .unwrap();
    let mut writer = original.writer(small_segments(3)).unwrap();
    writer.delete(&id(4)).unwrap();
    writer.commit().unwrap();
    let copied = index::copy(&from, &to).unwrap();
    assert_eq!(
        (copied.documents, copied.passages, copied.files_copied),
        (9, 9, 0)
    );
    // The original goes its own way: nothing of it is left after this.
    for n in 0..10 {
        writer
            .add(vec![document(n, "Title", &["New words."], json!({}))])
            .unwrap();
    }
    writer.commit().unwrap();
    writer.commit().unwrap();
    drop(writer);
    let copy = Index::open(&to).unwrap();
    for n in 0..10 {
        assert_eq!(text(&copy, n).as_deref(), (n != 4).then_some("Old words."), "{n}");
        assert_eq!(text(&original, n).as_deref(), Some("New words."), "{n}");
    }
    sound(&from);
    sound(&to);
    // And the copy can be written to.
    let mut writer = copy.writer(WriterSettings::default()).unwrap();
    writer.delete(&id(0)).unwrap();
    assert_eq!(writer.commit().unwrap().documents, 8);
}

#[test]
fn a_copy_goes_only_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let (from, to) = (folder.path().join("from"), folder.path().join("to"));
    index(&from, 0..3, "Words.");
    index(&to, 0..1, "Words.");
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letters.txt"), "dear").unwrap();
    for to in [&to, &other] {
        assert!(matches!(index::copy(&from, to), Err(StoreError::Settings(_))));
    }
    assert_eq!(std::fs::read(other.join("letters.txt")).unwrap(), b"dear");
    assert!(matches!(
        index::copy(&other, &folder.path().join("new")),
        Err(StoreError::Io { .. })
    ));
    // What an interrupted copy left is no obstacle.
    let half = folder.path().join("half");
    index::copy(&from, &half).unwrap();
    std::fs::remove_file(half.join("manifest.json")).unwrap();
    assert_eq!(index::copy(&from, &half).unwrap().documents, 3);
    sound(&half);
}

#[test]
fn copies_are_whole_while_someone_writes() {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join("from");
    let original = index(&from, 0..20, "Round 0.");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut writer = original.writer(small_segments(3)).unwrap();
            for round in 1..=40 {
                let text = format!("Round {round}.");
                for n in 0..20 {
                    writer
                        .add(vec![document(n, "Title", &[&text], json!({}))])
                        .unwrap();
                }
                writer.commit().unwrap();
            }
            done.store(true, Ordering::Relaxed);
        });
        let mut copies = 0;
        while !done.load(Ordering::Relaxed) {
            let to = folder.path().join(format!("copy {copies}"));
            index::copy(&from, &to).unwrap();
            let copy = Index::open(&to).unwrap();
            let first = text(&copy, 0).unwrap();
            assert!(
                (1..20).all(|n| text(&copy, n).as_ref() == Some(&first)),
                "all of one commit"
            );
            copies += 1;
        }
        assert!(copies > 0);
    });
}

#[test]
fn indexes_of_several_machines_become_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let all = index(&path("all"), 0..10, "From the first.");
    index(&path("second"), 8..15, "From the second.");
    let third = index(&path("third"), 14..20, "From the third.");
    let mut writer = third.writer(small_segments(3)).unwrap();
    writer.delete(&id(19)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let mut writer = all.writer(small_segments(3)).unwrap();
    writer
        .add(vec![document(7, "Title", &["Not committed before."], json!({}))])
        .unwrap();
    for name in ["second", "third"] {
        writer.add_index(&path(name)).unwrap();
    }
    assert_eq!(text(&all, 12), None, "nothing is visible before the commit");
    assert_eq!(writer.commit().unwrap().documents, 19);
    drop(writer);
    for n in 0..20 {
        let expected = match n {
            7 => Some("Not committed before."),
            0..8 => Some("From the first."),
            8..14 => Some("From the second."),
            14..19 => Some("From the third."),
            _ => None,
        };
        assert_eq!(text(&all, n).as_deref(), expected, "{n}");
    }
    for name in ["all", "second", "third"] {
        sound(&path(name));
    }
}

#[test]
fn an_index_of_another_model_is_not_added() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let all = index(&here, 0..3, "Words.");
    let fingerprint = "another".to_owned();
    Index::create(
        &there,
        Settings {
            fingerprint,
            ..settings()
        },
    )
    .unwrap();
    let mut writer = all.writer(WriterSettings::default()).unwrap();
    assert!(matches!(
        writer.add_index(&there),
        Err(StoreError::OtherModel { .. })
    ));
    assert!(matches!(
        writer.add_index(&folder.path().join("nowhere")),
        Err(StoreError::Io { .. })
    ));
    assert_eq!(writer.commit().unwrap().documents, 3);
}

#[test]
fn one_index_takes_the_place_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new, aside) = (
        folder.path().join("old"),
        folder.path().join("new"),
        folder.path().join("aside"),
    );
    let index_old = index(&old, 0..5, "Old words.");
    index(&new, 3..9, "New words.");
    index::copy(&old, &aside).unwrap();
    let before = index_old.snapshot().unwrap();
    index::replace(&old, &new).unwrap();
    assert_eq!(
        before.document(&id(0)).unwrap().unwrap().text,
        "Old words. ",
        "a reader keeps its commit"
    );
    assert_eq!(
        (text(&index_old, 0), text(&index_old, 8).as_deref()),
        (None, Some("New words."))
    );
    sound(&old);
    // And back.
    index::replace(&old, &aside).unwrap();
    assert_eq!(
        (text(&index_old, 0).as_deref(), text(&index_old, 8)),
        (Some("Old words."), None)
    );
    sound(&old);
}
