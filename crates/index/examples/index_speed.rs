//! How fast passages with given vectors are written, and how fast they are found.
//!
//! `cargo run --release -p index --example index_speed -- [passages] [dimension] [passages per segment]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement, printed")]

use std::time::Instant;

use corpus::{
    Document, DocumentId, MatchingQuery, NearestQuery, PreparedDocument, PreparedPassage, QueryText,
    ReadStore, TitleUse, WriteStore,
};
use index::{Index, Settings, WriterSettings};

/// Numbers that look random and are the same every time (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f32 {
        self.next() as f32 / u64::MAX as f32
    }

    /// Near one of 200 directions, as vectors of texts are near their topics.
    fn vector(&mut self, dimension: usize) -> Vec<f32> {
        let mut topic = Numbers(self.next() % 200);
        let raw: Vec<f32> = (0..dimension)
            .map(|_| topic.unit() - 0.5 + 0.6 * (self.unit() - 0.5))
            .collect();
        let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt();
        raw.iter().map(|x| x / length).collect()
    }

    /// Words with frequencies that fall off as in text.
    fn text(&mut self, words: usize) -> String {
        let word = |numbers: &mut Self| format!("w{}", (50_000.0 * numbers.unit().powi(4)) as u32);
        (0..words).map(|_| word(self)).collect::<Vec<_>>().join(" ")
    }
}

/// A query by vector and by words.
type Asked = (Vec<f32>, String);

fn memory_mb() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .filter(|line| line.starts_with("VmHWM") || line.starts_with("RssAnon"))
        .collect::<Vec<_>>()
        .join(", ")
}

fn main() {
    let mut arguments = std::env::args()
        .skip(1)
        .map(|argument| argument.parse::<usize>().unwrap());
    let passages = arguments.next().unwrap_or(10_000);
    let dimension = arguments.next().unwrap_or(384);
    let threads = std::thread::available_parallelism().unwrap().get();
    let limits = WriterSettings {
        threads,
        segment_passages_max: arguments.next().unwrap_or(20_000) as u32,
        ..WriterSettings::default()
    };
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        dimension,
        fingerprint: "none".into(),
        model: "none".into(),
        titles: TitleUse::Ignore,
        language: "english".into(),
        fold_accents: true,
        title_weight: 1,
        bm25: index::Bm25::default(),
        chunk_tokens: 256,
        chunk_overlap: 32,
    };
    let index = Index::create(folder.path(), settings).unwrap();
    let mut writer = index.writer(limits).unwrap();
    let mut numbers = Numbers(1);
    let mut written_s = 0.0;
    for start in (0..passages).step_by(1000) {
        let prepared = |n: usize, numbers: &mut Numbers| {
            let text = numbers.text(180);
            let passages = vec![PreparedPassage {
                span: 0..text.len(),
                vector: numbers.vector(dimension),
            }];
            let id = DocumentId::new(n.to_string()).unwrap();
            let document = Document {
                id,
                title: String::new(),
                text,
                metadata: Default::default(),
            };
            PreparedDocument { document, passages }
        };
        let batch = (start..passages.min(start + 1000))
            .map(|n| prepared(n, &mut numbers))
            .collect();
        let began = Instant::now();
        writer.add(batch).unwrap();
        written_s += began.elapsed().as_secs_f64();
    }
    let added_s = written_s;
    let began = Instant::now();
    writer.commit().unwrap();
    written_s += began.elapsed().as_secs_f64();
    drop(writer);
    println!(
        "{passages} passages written on {threads} threads in {written_s:.2} s: {:.0}/s; {added_s:.2} s of it before \
         the commit; {}",
        passages as f64 / written_s,
        memory_mb()
    );
    let began = Instant::now();
    drop(Index::open(folder.path()).unwrap());
    let bytes = index::inspect(folder.path()).unwrap().bytes;
    println!(
        "{bytes} bytes opened in {:.1} ms",
        began.elapsed().as_secs_f64() * 1e3
    );
    let snapshot = index.snapshot().unwrap();
    let queries: Vec<Asked> = (0..200)
        .map(|_| (numbers.vector(dimension), numbers.text(6)))
        .collect();
    let time = |name: &str, ask: &dyn Fn(&Asked) -> usize| {
        let began = Instant::now();
        let found: usize = queries.iter().map(ask).sum();
        let ms = began.elapsed().as_secs_f64() * 1e3 / queries.len() as f64;
        println!(
            "{name}: {ms:.3} ms per query, {} found on average",
            found / queries.len()
        );
    };
    let nearest = |vector: &[f32], recall| {
        let found = snapshot
            .nearest(&NearestQuery {
                vector,
                k: 100,
                filter: None,
                recall,
            })
            .unwrap();
        found.into_iter().map(|one| one.passage).collect::<Vec<_>>()
    };
    let matching = |text: &str| {
        let found = snapshot
            .matching(&MatchingQuery {
                words: QueryText::plain(text),
                k: 100,
                filter: None,
            })
            .unwrap();
        found.into_iter().map(|one| one.passage).collect::<Vec<_>>()
    };
    time("exact", &|(vector, _)| nearest(vector, 1.0).len());
    time("graph", &|(vector, _)| {
        nearest(vector, NearestQuery::RECALL_DEFAULT).len()
    });
    time("matching", &|(_, text)| matching(text).len());
    time("fetch", &|(_, text)| {
        snapshot.fetch(&matching(text)).unwrap().len()
    });
    time("of the exact 100 the graph finds", &|(vector, _)| {
        let exact = nearest(vector, 1.0);
        nearest(vector, NearestQuery::RECALL_DEFAULT)
            .iter()
            .filter(|passage| exact.contains(passage))
            .count()
    });
}
