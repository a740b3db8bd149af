//! Merging beside searches and writes.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{document, id, settings, small_segments};
use corpus::{MatchingQuery, QueryText, ReadStore, StoreError, WriteStore};
use index::{Index, MergeSettings, Settings, inspect, verify};
use serde_json::json;

fn merge_settings() -> MergeSettings {
    MergeSettings {
        passages_max: 500,
        ..MergeSettings::default()
    }
}

#[test]
fn full_segments_become_greater_ones() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(4)).unwrap();
    for n in 0..100 {
        writer
            .add(vec![document(n, "Title", &["some words"], json!({}))])
            .unwrap();
    }
    writer.delete(&id(3)).unwrap();
    writer.commit().unwrap();
    drop(writer);
    let held = index.snapshot().unwrap();
    let before = inspect(folder.path()).unwrap().segments.len();
    assert!(before >= 25, "{before}");
    assert_eq!(index.merge(&merge_settings(), &|| true).unwrap(), None, "stopped");
    let mut merges = 0;
    while let Some(merged) = index.merge(&merge_settings(), &|| false).unwrap() {
        assert!(merged.segments > 1 && merged.passages > 4, "{merged:?}");
        merges += 1;
    }
    let after = inspect(folder.path()).unwrap().segments.len();
    assert!(merges > 0 && after < 8, "{merges} merges, {after} segments");
    assert_eq!(verify(folder.path()).unwrap().problems, []);
    let query = MatchingQuery {
        words: QueryText::plain("words"),
        k: 1000,
        filter: None,
    };
    for snapshot in [held, index.snapshot().unwrap()] {
        assert_eq!(snapshot.matching(&query).unwrap().len(), 99);
        assert!(snapshot.document(&id(3)).unwrap().is_none());
    }
}

/// 40 documents of 10 bytes, each with one vector, at a rate that lets them pass in a quarter of a second.
#[test]
fn a_merge_reads_no_faster_than_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(2)).unwrap();
    for n in 0..40 {
        writer
            .add(vec![document(n, "Title", &["some words"], json!({}))])
            .unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    let bytes = 40 * (10 + 4 * settings().dimension as u64);
    let slow = MergeSettings {
        all: true,
        bytes_per_s: Some(4 * bytes),
        ..merge_settings()
    };
    let start = Instant::now();
    let merged = index.merge(&slow, &|| false).unwrap().unwrap();
    assert_eq!(merged.passages, 40);
    let took = start.elapsed();
    assert!(took >= Duration::from_millis(250), "{took:?}");
}

/// One thread writes, one merges: every commit shows what was written, and nothing comes back or is lost.
#[test]
fn writers_go_on_while_segments_are_merged() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let done = AtomicBool::new(false);
    let merges = std::thread::scope(|scope| {
        let merger = scope.spawn(|| {
            let mut merges = 0;
            while !done.load(Ordering::Relaxed) {
                merges += usize::from(index.merge(&merge_settings(), &|| false).unwrap().is_some());
            }
            merges
        });
        let mut deleted = BTreeSet::new();
        for round in 0..60_u64 {
            let mut writer = loop {
                match index.writer(small_segments(5)) {
                    Ok(writer) => break writer,
                    Err(StoreError::Locked { .. }) => std::thread::yield_now(),
                    Err(error) => panic!("{error}"),
                }
            };
            for n in 0..20 {
                let text = format!("round {round}");
                writer
                    .add(vec![document(20 * round + n, "Title", &[&text], json!({}))])
                    .unwrap();
            }
            // Of a segment that may just be merged.
            let old = (20 * round).saturating_sub(31);
            deleted.insert(old);
            writer.delete(&id(old)).unwrap();
            let commit = writer.commit().unwrap();
            assert_eq!(commit.documents as u64, 20 * (round + 1) - deleted.len() as u64);
            let snapshot = index.snapshot().unwrap();
            assert_eq!(snapshot.info().documents, commit.documents);
            for n in 0..20 * (round + 1) {
                let found = snapshot.document(&id(n)).unwrap();
                assert_eq!(
                    found.is_none(),
                    deleted.contains(&n),
                    "document {n} in round {round}"
                );
            }
        }
        done.store(true, Ordering::Relaxed);
        merger.join().unwrap()
    });
    assert!(merges > 3, "{merges}");
    assert_eq!(verify(folder.path()).unwrap().problems, []);
}

#[test]
fn two_merges_at_a_time_are_one_too_many() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(2)).unwrap();
    for n in 0..40 {
        writer
            .add(vec![document(n, "Title", &["some words"], json!({}))])
            .unwrap();
    }
    writer.commit().unwrap();
    drop(writer);
    let second = AtomicBool::new(false);
    let stop = || {
        let refused = matches!(
            index.merge(&merge_settings(), &|| false),
            Err(StoreError::Locked { .. })
        );
        second.store(refused, Ordering::Relaxed);
        false
    };
    assert!(index.merge(&merge_settings(), &stop).unwrap().is_some());
    assert!(second.load(Ordering::Relaxed));
}

#[test]
fn an_open_index_does_not_follow_to_another_model() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let index = Index::create(&here, settings()).unwrap();
    let fingerprint = "another".to_owned();
    Index::create(
        &there,
        Settings {
            fingerprint,
            ..settings()
        },
    )
    .unwrap();
    index::replace(&here, &there).unwrap();
    assert!(matches!(index.snapshot(), Err(StoreError::OtherModel { .. })));
    assert_eq!(Index::open(&here).unwrap().settings().fingerprint, "another");
}
