//! Random lives of an index, against a map and the definitions of the scores.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::collections::BTreeMap;

use common::{Model, Ranked, document, id, settings, small_segments, vector};
use corpus::{
    DocumentId, Filter, MatchingQuery, NearestQuery, PassageRef, PreparedDocument, QueryText, ReadStore,
    Scored, WriteStore,
};
use index::{Index, Snapshot, Writer, WriterSettings, content_hash, verify};
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<PreparedDocument>),
    Delete(DocumentId),
    Commit,
    Reopen,
}

const SENTENCES: [&str; 8] = [
    "The quick brown fox jumps over the lazy dog.",
    "A dog barked at the running foxes, and the dogs of the village barked back.",
    "Rivers run to the sea.",
    "Every river has a source; every source is a spring.",
    "The sea, the sea!",
    "Lazy rivers.",
    "Springs of the village.",
    "to be or not to be",
];

fn any_document() -> impl Strategy<Value = PreparedDocument> {
    let sentences = prop::collection::vec(0..SENTENCES.len(), 1..5);
    (
        0..12_u8,
        prop_oneof![Just(""), Just("Foxes"), Just("The River")],
        sentences,
        0..4_u8,
    )
        .prop_map(|(name, title, sentences, kind)| {
            let sentences: Vec<&str> = sentences.into_iter().map(|i| SENTENCES[i]).collect();
            let metadata = if kind == 0 {
                json!({})
            } else {
                json!({"kind": kind, "even": kind % 2 == 0})
            };
            document(name, title, &sentences, metadata)
        })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => prop::collection::vec(any_document(), 1..6).prop_map(Step::Add),
        2 => (0..12_u8).prop_map(|name| Step::Delete(id(name))),
        3 => Just(Step::Commit),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..24)
}

/// Segments of a few passages, so that there are many and they are merged; some have graphs.
fn limits(passages: u32) -> WriterSettings {
    WriterSettings {
        graph_passages_min: 6,
        ..small_segments(passages)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_index_is_a_map_with_search(steps in steps(), passages_max in 1..9_u32) {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::create(folder.path(), settings()).unwrap();
        let mut writer: Option<Writer> = Some(index.writer(limits(passages_max)).unwrap());
        let (mut committed, mut pending) = (Model::default(), Model::default());
        for step in steps.into_iter().chain([Step::Commit]) {
            let open = writer.as_mut().unwrap();
            match step {
                Step::Add(documents) => {
                    open.add(documents.clone()).unwrap();
                    pending.0.extend(documents.into_iter().map(|d| (d.document.id.clone(), d)));
                }
                Step::Delete(id) => {
                    prop_assert_eq!(open.delete(&id).unwrap(), pending.0.remove(&id).is_some());
                }
                Step::Commit => {
                    let commit = open.commit().unwrap();
                    committed = pending.clone();
                    prop_assert_eq!(commit.documents, committed.0.len());
                    same(&index.snapshot().unwrap(), &committed)?;
                }
                Step::Reopen => {
                    drop(writer.take());
                    writer = Some(index.writer(limits(passages_max)).unwrap());
                    pending = committed.clone();
                    same(&Index::open(folder.path()).unwrap().snapshot().unwrap(), &committed)?;
                }
            }
        }
        drop(writer);
        prop_assert_eq!(verify(folder.path()).unwrap().problems, []);
    }

    #[test]
    fn scores_do_not_depend_on_the_cut(documents in prop::collection::vec(any_document(), 1..12)) {
        let answers = [2, 5, 1000].map(|passages_max| {
            let folder = tempfile::tempdir().unwrap();
            let index = Index::create(folder.path(), settings()).unwrap();
            let mut writer = index.writer(small_segments(passages_max)).unwrap();
            for document in &documents {
                writer.add(vec![document.clone()]).unwrap();
            }
            writer.commit().unwrap();
            let snapshot = index.snapshot().unwrap();
            let query = MatchingQuery { words: QueryText::plain("lazy foxes run, river"), k: 1000, filter: None };
            let matching = named(&snapshot, &snapshot.matching(&query).unwrap());
            let query = NearestQuery { vector: &vector(3), k: 1000, filter: None, recall: 1.0 };
            (matching, named(&snapshot, &snapshot.nearest(&query).unwrap()))
        });
        prop_assert_eq!(&answers[0], &answers[1]);
        prop_assert_eq!(&answers[1], &answers[2]);
    }

    #[test]
    fn numbers_in_metadata_come_back_as_they_went_in(numbers in prop::collection::vec(prop::num::f64::NORMAL, 1..50)) {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::create(folder.path(), settings()).unwrap();
        let mut writer = index.writer(WriterSettings::default()).unwrap();
        let mut given = document("a", "", &["words"], json!({}));
        let values = numbers.into_iter().map(corpus::Value::Number).collect();
        given.document.metadata.insert("numbers".into(), corpus::Value::List(values));
        writer.add(vec![given.clone()]).unwrap();
        writer.commit().unwrap();
        prop_assert_eq!(index.snapshot().unwrap().document(&id("a")).unwrap().unwrap(), given.document);
    }
}

fn named(snapshot: &Snapshot, scored: &[Scored]) -> Vec<(DocumentId, u32, f32)> {
    let passages: Vec<PassageRef> = scored.iter().map(|one| one.passage).collect();
    let fetched = snapshot.fetch(&passages).unwrap();
    fetched
        .into_iter()
        .zip(scored)
        .map(|(p, one)| (p.document, p.chunk, one.score))
        .collect()
}

/// Everything that a snapshot can be asked is as in the model.
fn same(snapshot: &Snapshot, model: &Model) -> Result<(), TestCaseError> {
    let info = snapshot.info();
    prop_assert_eq!(info.documents, model.0.len());
    prop_assert_eq!(
        info.passages,
        model.0.values().map(|d| d.passages.len()).sum::<usize>()
    );
    let ids: Vec<DocumentId> = model.0.keys().cloned().collect();
    prop_assert_eq!(snapshot.document_ids(None, 100).unwrap(), ids.clone());
    if let Some(after) = ids.get(ids.len() / 2) {
        let rest = snapshot.document_ids(Some(after), 3).unwrap();
        prop_assert!(rest.iter().eq(ids[ids.len() / 2 + 1..].iter().take(3)));
    }
    for (id, prepared) in &model.0 {
        prop_assert_eq!(snapshot.document(id).unwrap(), Some(prepared.document.clone()));
        prop_assert_eq!(
            snapshot.content_hash(id).unwrap(),
            Some(content_hash(&prepared.document))
        );
    }
    prop_assert_eq!(snapshot.document(&id("nobody")).unwrap(), None);
    let kinds = [
        json!({"eq": {"even": true}}),
        json!({"not": {"exists": "kind"}}),
        json!({"in": {"kind": [1, 3]}}),
    ];
    let kinds = kinds.map(|json| Filter::from_json(&json).unwrap());
    let filters: Vec<Option<&Filter>> = [None].into_iter().chain(kinds.iter().map(Some)).collect();
    for &filter in &filters {
        for text in [
            "foxes",
            "the lazy dog, lazy",
            "river OR (sea",
            "to be",
            "",
            "nowhere",
        ] {
            let expected = model.matching(text, filter);
            for k in [0, 1, 3, 100] {
                let found = snapshot
                    .matching(&MatchingQuery {
                        words: QueryText::plain(text),
                        k,
                        filter,
                    })
                    .unwrap();
                ranked_as(snapshot, &found, &expected, k)?;
                explained(snapshot, text, &found)?;
            }
        }
        for recall in [1.0, 0.9] {
            let vector = vector(2);
            let expected = model.nearest(&vector, filter);
            for k in [0, 1, 4, 100] {
                let query = NearestQuery {
                    vector: &vector,
                    k,
                    filter,
                    recall,
                };
                let found = snapshot.nearest(&query).unwrap();
                ranked_as(snapshot, &found, &expected, k)?;
                let passages: Vec<PassageRef> = found.iter().map(|one| one.passage).collect();
                let cosines = snapshot.similarities(&vector, &passages).unwrap();
                prop_assert!(cosines.iter().eq(found.iter().map(|one| &one.score)));
                for (&passage, cosine) in passages.iter().zip(cosines) {
                    let own = snapshot.vector(passage).unwrap();
                    let product: f32 = own.iter().zip(&vector).map(|(a, b)| a * b).sum();
                    prop_assert!((product - cosine).abs() < 1e-5, "{own:?} {cosine}");
                }
            }
        }
    }
    Ok(())
}

/// The scores are the greatest `k` of the model's, each belongs to its passage, and equal ones stand in order.
fn ranked_as(
    snapshot: &Snapshot,
    found: &[Scored],
    expected: &Ranked,
    k: usize,
) -> Result<(), TestCaseError> {
    prop_assert_eq!(found.len(), k.min(expected.len()));
    let found = named(snapshot, found);
    let scores: BTreeMap<(DocumentId, u32), f64> =
        expected.iter().map(|(id, n, s)| ((id.clone(), *n), *s)).collect();
    for (one, best) in found.iter().zip(expected) {
        prop_assert!(
            (f64::from(one.2) - best.2).abs() < 1e-4,
            "{one:?} where {best:?} is expected"
        );
        prop_assert!((f64::from(one.2) - scores[&(one.0.clone(), one.1)]).abs() < 1e-4);
    }
    for pair in found.windows(2) {
        let order = pair[1]
            .2
            .total_cmp(&pair[0].2)
            .then_with(|| (&pair[0].0, pair[0].1).cmp(&(&pair[1].0, pair[1].1)));
        prop_assert!(order.is_lt(), "{pair:?}");
    }
    Ok(())
}

fn explained(snapshot: &Snapshot, text: &str, found: &[Scored]) -> Result<(), TestCaseError> {
    for one in found {
        let terms = snapshot
            .explain_matching(&QueryText::plain(text), one.passage)
            .unwrap();
        let sum: f32 = terms.iter().map(|term| term.score).sum();
        prop_assert!((sum - one.score).abs() < 1e-4, "{terms:?} for {}", one.score);
    }
    Ok(())
}

#[test]
fn equal_scores_stand_in_the_order_of_their_names_at_every_k() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(7)).unwrap();
    let mut expected = Vec::new();
    for n in (0..40).rev() {
        let name = format!("{n:02}");
        let mut same = document(
            &name,
            "",
            &["Springs of the village.", "Springs of the village."],
            json!({}),
        );
        for passage in &mut same.passages {
            passage.vector = vector(1);
        }
        writer.add(vec![same]).unwrap();
        expected.push((id(&name), 0));
        expected.push((id(&name), 1));
    }
    expected.sort();
    writer.commit().unwrap();
    let snapshot = index.snapshot().unwrap();
    for k in 1..=80 {
        let matching = snapshot
            .matching(&MatchingQuery {
                words: QueryText::plain("spring"),
                k,
                filter: None,
            })
            .unwrap();
        let nearest = NearestQuery {
            vector: &vector(2),
            k,
            filter: None,
            recall: 1.0,
        };
        for found in [matching, snapshot.nearest(&nearest).unwrap()] {
            let found: Vec<_> = named(&snapshot, &found)
                .into_iter()
                .map(|(id, chunk, _)| (id, chunk))
                .collect();
            assert_eq!(found, expected[..k]);
        }
    }
}

#[test]
fn readers_see_whole_commits_while_a_writer_commits() {
    let folder = tempfile::tempdir().unwrap();
    let index = Index::create(folder.path(), settings()).unwrap();
    let mut writer = index.writer(small_segments(3)).unwrap();
    let write = |writer: &mut Writer, version: usize| {
        let text = format!("Version {version}.");
        writer
            .add((0..5).map(|n| document(n, "", &[&text], json!({}))).collect())
            .unwrap();
        writer.commit().unwrap();
    };
    write(&mut writer, 0);
    std::thread::scope(|scope| {
        let readers: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let other = Index::open(folder.path()).unwrap();
                    let mut seen = 0;
                    loop {
                        let snapshot = other.snapshot().unwrap();
                        let texts = (0..5).map(|n| snapshot.document(&id(n)).unwrap().unwrap().text);
                        let texts: std::collections::BTreeSet<String> = texts.collect();
                        assert_eq!(texts.len(), 1, "{texts:?}");
                        seen += 1;
                        if texts.contains("Version 60. ") {
                            return seen;
                        }
                    }
                })
            })
            .collect();
        for version in 1..=60 {
            write(&mut writer, version);
        }
        for reader in readers {
            assert!(reader.join().unwrap() > 1);
        }
    });
}
