//! What half of the documents replaced does to an index, against one that was built fresh.
//!
//! ```sh
//! cargo run --release -p index --example churn -- TEXTS VECTORS DIMENSION
//! ```
//! `TEXTS` has a text on each line, `VECTORS` their vectors as f32, little-endian. Two thirds of them are indexed, then
//! half of these deleted and the last third added, in ten commits; after the merges and a
//! compaction, the documents that are left are indexed anew beside. Printed are recall@10, times of a query (medians over rounds that take turns), and bytes on disk
//! in relation to texts and vectors.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "an example prints, and ends where it fails"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use corpus::{
    Document, DocumentId, MatchingQuery, NearestQuery, PreparedDocument, PreparedPassage, QueryText,
    ReadStore, Scored, TitleUse, WriteStore,
};
use index::{Bm25, Index, MergeSettings, Settings, Snapshot, WriterSettings};

const QUERIES: usize = 1000;
const ROUNDS: usize = 9;
const COMMITS: usize = 10;
const RECALL: f64 = 0.95;

struct Corpus {
    texts: Vec<String>,
    vectors: Vec<f32>,
    dimension: usize,
}

impl Corpus {
    fn vector(&self, n: usize) -> &[f32] {
        &self.vectors[n * self.dimension..][..self.dimension]
    }

    fn document(&self, n: usize) -> PreparedDocument {
        let text = self.texts[n].clone();
        PreparedDocument {
            passages: vec![PreparedPassage {
                span: 0..text.len(),
                vector: self.vector(n).to_vec(),
            }],
            document: Document {
                id: id(n),
                title: String::new(),
                text,
                metadata: corpus::Metadata::new(),
            },
        }
    }

    /// Bytes of texts and vectors.
    fn bytes(&self, of: &[usize]) -> u64 {
        let text: usize = of.iter().map(|&n| self.texts[n].len()).sum();
        (text + 4 * self.dimension * of.len()) as u64
    }
}

fn id(n: usize) -> DocumentId {
    DocumentId::new(n.to_string()).unwrap()
}

fn create(folder: &Path, dimension: usize) -> Index {
    let settings = Settings {
        dimension,
        fingerprint: "given".into(),
        model: "given".into(),
        titles: TitleUse::Ignore,
        language: "english".into(),
        fold_accents: true,
        title_weight: 1,
        bm25: Bm25::default(),
        chunk_tokens: 256,
        chunk_overlap: 32,
    };
    Index::create(folder, settings).unwrap()
}

fn add(index: &Index, corpus: &Corpus, numbers: &[usize], gone: &[usize]) {
    let mut writer = index.writer(limits()).unwrap();
    for chunk in numbers.chunks(1000) {
        writer
            .add(chunk.iter().map(|&n| corpus.document(n)).collect())
            .unwrap();
    }
    for &n in gone {
        assert!(writer.delete(&id(n)).unwrap());
    }
    writer.commit().unwrap();
}

fn limits() -> WriterSettings {
    WriterSettings {
        threads: 2,
        ..WriterSettings::default()
    }
}

fn merge(index: &Index) {
    let settings = MergeSettings {
        threads: 2,
        ..MergeSettings::default()
    };
    while index.merge(&settings, &|| false).unwrap().is_some() {}
    // A writer removes what only the commit before the last listed.
    drop(index.writer(limits()).unwrap());
}

fn compact(index: &Index) {
    let settings = MergeSettings {
        threads: 2,
        all: true,
        ..MergeSettings::default()
    };
    while index.merge(&settings, &|| false).unwrap().is_some() {}
    drop(index.writer(limits()).unwrap());
}

fn disk(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let bytes = |entry: std::fs::DirEntry| match entry.file_type().unwrap().is_dir() {
        true => disk(&entry.path()),
        false => entry.metadata().map_or(0, |metadata| metadata.len()),
    };
    entries.map(bytes).sum()
}

fn nearest(snapshot: &Snapshot, vector: &[f32], recall: f64) -> Vec<Scored> {
    let query = NearestQuery {
        vector,
        k: 10,
        filter: None,
        recall,
    };
    snapshot.nearest(&query).unwrap()
}

fn recall(snapshot: &Snapshot, queries: &[&[f32]]) -> f64 {
    let hits = queries.iter().map(|query| {
        let truth = nearest(snapshot, query, 1.0);
        let found = nearest(snapshot, query, RECALL);
        found
            .iter()
            .filter(|one| truth.iter().any(|two| one.passage == two.passage))
            .count()
    });
    hits.sum::<usize>() as f64 / (10 * queries.len()) as f64
}

fn time<T>(queries: &[T], mut ask: impl FnMut(&T)) -> Duration {
    let start = Instant::now();
    queries.iter().for_each(&mut ask);
    start.elapsed() / queries.len() as u32
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [texts, vectors, dimension] = &arguments[..] else {
        panic!("TEXTS VECTORS DIMENSION");
    };
    let bytes = std::fs::read(vectors).unwrap();
    let numbers = bytes
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    let corpus = Corpus {
        texts: std::fs::read_to_string(texts)
            .unwrap()
            .lines()
            .map(str::to_owned)
            .collect(),
        vectors: numbers.collect(),
        dimension: dimension.parse().unwrap(),
    };
    let all = corpus.texts.len().min(corpus.vectors.len() / corpus.dimension) - QUERIES;
    let queries: Vec<usize> = (all..all + QUERIES).collect();
    let first: Vec<usize> = (0..all * 2 / 3).collect();
    let (gone, kept): (Vec<usize>, Vec<usize>) = first.iter().partition(|&&n| n % 2 == 0);
    let later: Vec<usize> = (first.len()..all).collect();
    let folder = tempfile::tempdir().unwrap();

    let churned = create(&folder.path().join("churned"), corpus.dimension);
    add(&churned, &corpus, &first, &[]);
    merge(&churned);
    let at_rest = disk(churned.folder()) as f64 / corpus.bytes(&first) as f64;
    let step = later.len().div_ceil(COMMITS);
    let mut peak = 0.0_f64;
    for (added, gone) in later.chunks(step).zip(gone.chunks(gone.len().div_ceil(COMMITS))) {
        add(&churned, &corpus, added, gone);
        peak = peak.max(disk(churned.folder()) as f64);
        merge(&churned);
    }
    let settled = disk(churned.folder()) as f64;
    compact(&churned);
    let last: Vec<usize> = kept.iter().chain(&later).copied().collect();
    let fresh = create(&folder.path().join("fresh"), corpus.dimension);
    add(&fresh, &corpus, &last, &[]);
    compact(&fresh);

    let texts_and_vectors = corpus.bytes(&last) as f64;
    println!(
        "disk, times texts and vectors: {at_rest:.2} built, {:.2} at most, {:.2} churned, {:.2} compacted, {:.2} fresh",
        peak / texts_and_vectors,
        settled / texts_and_vectors,
        disk(churned.folder()) as f64 / texts_and_vectors,
        disk(fresh.folder()) as f64 / texts_and_vectors
    );
    let (churned, fresh) = (churned.snapshot().unwrap(), fresh.snapshot().unwrap());
    assert_eq!(churned.info().documents, fresh.info().documents);
    let vectors: Vec<&[f32]> = queries.iter().map(|&n| corpus.vector(n)).collect();
    let (of_churned, of_fresh) = (recall(&churned, &vectors), recall(&fresh, &vectors));
    println!("recall@10: {of_churned:.4} churned, {of_fresh:.4} fresh");
    let words: Vec<String> = queries
        .iter()
        .map(|&n| {
            corpus.texts[n]
                .split_whitespace()
                .take(8)
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    let (mut walks, mut matches) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (which, snapshot) in [&churned, &fresh].into_iter().enumerate() {
            walks[which].push(time(&vectors, |vector| drop(nearest(snapshot, vector, RECALL))));
            matches[which].push(time(&words, |text| {
                let query = MatchingQuery {
                    words: QueryText::plain(text),
                    k: 10,
                    filter: None,
                };
                drop(snapshot.matching(&query).unwrap());
            }));
        }
    }
    for (what, times) in [("walk", walks), ("words", matches)] {
        let [churned, fresh] = times.map(median);
        println!(
            "{what}: {churned:.1?} churned, {fresh:.1?} fresh, ratio {:.3}",
            churned.as_secs_f64() / fresh.as_secs_f64()
        );
    }
}
