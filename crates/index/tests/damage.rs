//! Damaged files: opening refuses them by name, and nothing panics.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::{document, id, settings};
use corpus::{ReadStore, StoreError, WriteStore};
use index::{Index, ProblemKind, Snapshot, WriterSettings, verify};
use serde_json::json;

fn index(folder: &Path) -> Index {
    let index = Index::create(folder, settings()).unwrap();
    let limits = WriterSettings {
        segment_passages_max: 12,
        graph_passages_min: 12,
        ..WriterSettings::default()
    };
    let mut writer = index.writer(limits).unwrap();
    for n in 0..7 {
        let text = format!("Passage number {n} of several.");
        writer
            .add(vec![document(
                n,
                "Title",
                &[&text, "Another one."],
                json!({"n": n}),
            )])
            .unwrap();
    }
    writer.commit().unwrap();
    writer.delete(&id(1)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    // A new writer removes what only the commit before the last listed.
    drop(index.writer(WriterSettings::default()).unwrap());
    index
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path))
        } else {
            found.push(path)
        }
    }
    found.sort();
    found
}

#[test]
fn a_sound_index_has_no_problems() {
    let folder = tempfile::tempdir().unwrap();
    index(folder.path());
    let found = verify(folder.path()).unwrap();
    assert_eq!(found.problems, []);
    assert_eq!(found.unlisted, [""; 0].map(PathBuf::from));
    assert_eq!((found.documents, found.passages, found.generation), (6, 12, 2));
    let inspected = index::inspect(folder.path()).unwrap();
    assert_eq!(
        (inspected.documents, inspected.passages, inspected.segments.len()),
        (6, 12, 2)
    );
    assert!(inspected.segments[0].graph);
    assert_eq!(inspected.bytes, found.bytes);
    assert!(serde_json::to_string(&(inspected, found)).is_ok());
}

#[test]
fn every_byte_counts() {
    let folder = tempfile::tempdir().unwrap();
    let index = index(folder.path());
    let held = index.snapshot().unwrap();
    let names: Vec<_> = files(folder.path())
        .into_iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
        .collect();
    assert!(names.iter().any(|path| path.ends_with("graph")));
    assert!(names.iter().any(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("deletes-")
    }));
    for path in names {
        let whole = std::fs::read(&path).unwrap();
        let places = places(whole.len());
        for &place in &places {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            replace(&path, &damaged);
            refused(
                folder.path(),
                &path,
                &format!("byte {place}"),
                ProblemKind::Checksum,
            );
        }
        for len in places {
            replace(&path, &whole[..len]);
            refused(
                folder.path(),
                &path,
                &format!("cut to {len}"),
                ProblemKind::Length,
            );
        }
        replace(&path, &[&whole[..], &[0]].concat());
        refused(folder.path(), &path, "longer", ProblemKind::Length);
        if !path.ends_with("manifest.json") {
            std::fs::remove_file(&path).unwrap();
            refused(folder.path(), &path, "gone", ProblemKind::Unreadable);
        }
        replace(&path, &whole);
    }
    assert_eq!(verify(folder.path()).unwrap().problems, []);
    assert!(
        held.document(&id(0)).unwrap().is_some(),
        "an open snapshot does not mind"
    );
}

/// Each byte of small files, every some bytes of others, and both ends; with `CLOZE_DAMAGE=all` every one.
fn places(len: usize) -> Vec<usize> {
    let step = match std::env::var("CLOZE_DAMAGE").is_ok_and(|damage| damage == "all") {
        true => 1,
        false => (len / 60).max(1),
    };
    (0..len).step_by(step).chain([len - 1]).collect()
}

/// Files of one commit in the place of another's.
#[test]
fn files_of_other_commits_are_refused_or_are_those_commits() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (folder.path().join("old"), folder.path().join("new"));
    let written = index(&old);
    let all = |snapshot: &Snapshot| {
        let documents = snapshot.documents().collect::<Result<Vec<_>, _>>().unwrap();
        documents
            .into_iter()
            .map(|one| (one.document.id.to_string(), one.document.text))
            .collect::<BTreeMap<_, _>>()
    };
    let before = all(&written.snapshot().unwrap());
    index::copy(&old, &new).unwrap();
    let copied = Index::open(&new).unwrap();
    let mut writer = copied.writer(WriterSettings::default()).unwrap();
    writer
        .add(vec![document(2, "Title", &["Now it is new."], json!({}))])
        .unwrap();
    writer.delete(&id(3)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let after = all(&copied.snapshot().unwrap());
    let (olds, news) = (files(&old), files(&new));
    let name = |path: &Path| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.split('-')
            .next()
            .unwrap()
            .split('.')
            .next()
            .unwrap()
            .to_owned()
    };
    let mut tried = 0;
    for path in news
        .iter()
        .filter(|path| path.extension().is_none_or(|extension| extension != "lock"))
    {
        let whole = std::fs::read(path).unwrap();
        let others = olds.iter().chain(&news).filter(|other| name(other) == name(path));
        for other in others {
            let swapped = std::fs::read(other).unwrap();
            if swapped == whole {
                continue;
            }
            replace(path, &swapped);
            tried += 1;
            match Index::open(&new).and_then(|index| index.snapshot()) {
                Err(error) => assert!(error.to_string().contains("new"), "{error}"),
                // The list of an earlier commit, of which all files are still there, is that commit. Other files are
                // not listed any more.
                Ok(snapshot) => {
                    let expected = if path.ends_with("manifest.json") {
                        &before
                    } else {
                        &after
                    };
                    assert_eq!(
                        all(&snapshot),
                        *expected,
                        "{} for {}",
                        other.display(),
                        path.display()
                    );
                }
            }
            replace(path, &whole);
        }
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(all(&Index::open(&new).unwrap().snapshot().unwrap()), after);
}

/// Puts another file in its place, so that memory maps of the old one stay whole.
fn replace(path: &Path, bytes: &[u8]) {
    let aside = path.with_extension("aside");
    std::fs::write(&aside, bytes).unwrap();
    std::fs::rename(&aside, path).unwrap();
}

fn refused(folder: &Path, path: &Path, what: &str, kind: ProblemKind) {
    let error = match Index::open(folder) {
        Err(error) => error,
        Ok(_) => panic!("{}: {what}: opened", path.display()),
    };
    let named = error.to_string().contains(&*path.to_string_lossy());
    assert!(named, "{}: {what}: {error}", path.display());
    let problems = verify(folder).unwrap().problems;
    assert_eq!(problems.len(), 1, "{}: {what}: {problems:?}", path.display());
    assert_eq!(problems[0].file, path.strip_prefix(folder).unwrap(), "{what}");
    if !path.ends_with("manifest.json") {
        assert_eq!(problems[0].kind, kind, "{}: {what}", path.display());
    }
}

#[test]
fn a_damaged_text_is_found_at_its_offset() {
    let folder = tempfile::tempdir().unwrap();
    index(folder.path());
    let path = folder.path().join("segments/00000001/texts");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    replace(&path, &bytes);
    assert_eq!(verify(folder.path()).unwrap().problems[0].offset, Some(0));
}

#[test]
fn a_newer_format_is_refused_as_such() {
    let folder = tempfile::tempdir().unwrap();
    index(folder.path());
    let path = folder.path().join("manifest.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    let rest = rest.replacen("\"format\": 1", "\"format\": 2, \"new\": {}", 1);
    let sum = xxhash_rust::xxh3::xxh3_64(rest.as_bytes());
    std::fs::write(&path, format!("{{\"checksum\":\"{sum:016x}\",\n{rest}")).unwrap();
    assert!(matches!(
        Index::open(folder.path()),
        Err(StoreError::Version {
            found: 2,
            newest: 1,
            ..
        })
    ));
    assert_eq!(
        verify(folder.path()).unwrap().problems[0].kind,
        ProblemKind::Version
    );
    assert!(matches!(
        index::inspect(folder.path()),
        Err(StoreError::Version { .. })
    ));
}

/// The live documents with their texts.
fn texts(folder: &Path) -> Vec<(usize, String)> {
    let snapshot = Index::open(folder).unwrap().snapshot().unwrap();
    let text = |n| {
        snapshot
            .document(&id(n))
            .unwrap()
            .map(|document| (n, document.text))
    };
    (0..7).filter_map(text).collect()
}

/// Whatever byte is wrong: what is left after the repair is right, and what is not left is named.
#[test]
fn repair_keeps_what_is_intact_and_names_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    index(&original);
    let whole = texts(&original);
    let names: Vec<PathBuf> = files(&original)
        .into_iter()
        .filter(|path| {
            path.extension().is_none_or(|extension| extension != "lock") && !path.ends_with("manifest.json")
        })
        .collect();
    let (mut kept_all, mut lost_some) = (0, 0);
    for path in names {
        let name = path.strip_prefix(&original).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for place in [0, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1] {
            let copy = tempfile::tempdir().unwrap();
            index::copy(&original, copy.path()).unwrap();
            let mut damaged = bytes.clone();
            damaged[place] ^= 0x10;
            replace(&copy.path().join(name), &damaged);
            let what = format!("{} byte {place}", name.display());
            let repaired = index::repair(copy.path(), WriterSettings::default()).unwrap();
            assert_eq!(verify(copy.path()).unwrap().problems, [], "{what}");
            assert_eq!(repaired.segments.len(), 1, "{what}");
            let salvage = repaired.segments.values().next().unwrap();
            let left = texts(copy.path());
            assert_eq!(left.len() as u64, repaired.documents, "{what}");
            let undeleted = left.iter().filter(|(n, _)| *n == 1).count();
            assert!(undeleted as u32 <= salvage.undeleted, "{what}: {salvage:?}");
            for document in &left {
                assert!(
                    document.0 == 1 || whole.contains(document),
                    "{what}: {document:?}"
                );
            }
            let lost = salvage.lost.len() + salvage.lost_unnamed as usize;
            assert_eq!(left.len() - undeleted + lost, whole.len(), "{what}: {salvage:?}");
            if lost == 0 { kept_all += 1 } else { lost_some += 1 }
        }
    }
    assert!(kept_all > 30 && lost_some > 10, "{kept_all} {lost_some}");
    let untouched = index::repair(&original, WriterSettings::default()).unwrap();
    assert!(untouched.segments.is_empty() && untouched.before.problems.is_empty());
    assert_eq!(untouched.before.generation, verify(&original).unwrap().generation);
}
