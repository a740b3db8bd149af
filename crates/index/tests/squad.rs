//! The quality of lexical search on real questions. Runs where `CLOZE_SHARED` names the folder of shared data.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use common::{id, settings};
use corpus::{
    Document, MatchingQuery, PreparedDocument, PreparedPassage, QueryText, ReadStore, TitleUse, WriteStore,
};
use index::{Index, WriterSettings};
use serde_json::Value;

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn text<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap()
}

/// Mean nDCG@10 of lexical search over the questions of a data set in BEIR's layout.
fn ndcg_at_10(data: &Path, titles: TitleUse) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings();
    (settings.titles, settings.dimension) = (titles, 1);
    let index = Index::create(folder.path(), settings).unwrap();
    let mut writer = index
        .writer(WriterSettings {
            segment_passages_max: 500,
            ..Default::default()
        })
        .unwrap();
    for record in lines(&data.join("corpus.jsonl")) {
        let (title, text) = (
            text(&record, "title").to_owned(),
            text(&record, "text").to_owned(),
        );
        if text.trim().is_empty() {
            continue;
        }
        let passages = vec![PreparedPassage {
            span: 0..text.len(),
            vector: vec![1.0],
        }];
        let id = id(record["_id"].as_str().unwrap());
        let document = Document {
            id,
            title,
            text,
            metadata: BTreeMap::new(),
        };
        writer.add(vec![PreparedDocument { document, passages }]).unwrap();
    }
    writer.commit().unwrap();
    let mut relevant: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let judged = std::fs::read_to_string(data.join("qrels/test.tsv")).unwrap();
    for line in judged.lines().skip(1) {
        let fields: Vec<&str> = line.split('\t').collect();
        if fields[2].parse::<i32>().unwrap() > 0 {
            relevant
                .entry(fields[0].into())
                .or_default()
                .insert(fields[1].into());
        }
    }
    let snapshot = index.snapshot().unwrap();
    let (mut sum, mut count) = (0.0, 0);
    for record in lines(&data.join("queries.jsonl")) {
        let Some(relevant) = relevant.get(text(&record, "_id")) else {
            continue;
        };
        let query = MatchingQuery {
            words: QueryText::plain(text(&record, "text")),
            k: 10,
            filter: None,
        };
        let found: Vec<_> = snapshot
            .matching(&query)
            .unwrap()
            .iter()
            .map(|one| one.passage)
            .collect();
        let found = snapshot
            .fetch(&found)
            .unwrap()
            .into_iter()
            .map(|passage| passage.document);
        let gain = |rank: usize| 1.0 / (rank as f64 + 2.0).log2();
        let gained: f64 = found
            .enumerate()
            .filter(|(_, id)| relevant.contains(id.as_str()))
            .map(|(n, _)| gain(n))
            .sum();
        sum += gained / (0..relevant.len().min(10)).map(gain).sum::<f64>();
        count += 1;
    }
    assert!(count > 100);
    sum / f64::from(count)
}

/// The floors are below published and measured figures of other engines on the same data.
#[test]
fn lexical_search_is_as_good_as_elsewhere() {
    let Some(shared) = std::env::var_os("CLOZE_SHARED") else {
        #[allow(clippy::print_stderr, reason = "says why it was skipped")]
        {
            eprintln!("skipped: set CLOZE_SHARED to the folder of shared data");
        }
        return;
    };
    let data = Path::new(&shared).join("data/beir");
    for (name, titles, floor) in [
        ("squad-dev", TitleUse::Ignore, 0.864),
        ("squad-dev", TitleUse::Join, 0.864),
        ("cranfield", TitleUse::Join, 0.349),
    ] {
        let ndcg = ndcg_at_10(&data.join(name), titles);
        #[allow(clippy::print_stderr, reason = "the figure is what the test is for")]
        {
            eprintln!("{name}, titles {titles:?}: nDCG@10 {ndcg:.4}");
        }
        assert!(
            ndcg >= floor,
            "{name}, titles {titles:?}: nDCG@10 {ndcg:.4} is below {floor}"
        );
    }
}
