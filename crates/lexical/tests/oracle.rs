//! Scores against BM25 from its formula, over random passages in several segments with deleted rows.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::Path;

use lexical::{Analyzer, Bm25, Part, Postings, PostingsWriter, Query, Ranking};
use proptest::prelude::*;
use roaring::RoaringBitmap;

/// The lengths that a byte can stand for in Lucene and tantivy: exact up to 40, then with 4 significant bits.
fn quantised(length: u64) -> u64 {
    let table = (0..256_u64).map(|code| match code {
        0..24 => code,
        _ => {
            let (bits, shift) = ((code - 24) & 7, (code - 24) >> 3);
            24 + if shift == 0 {
                bits
            } else {
                (bits | 8) << (shift - 1)
            }
        }
    });
    table.take_while(|&stored| stored <= length).last().unwrap()
}

#[derive(Debug)]
struct Segment {
    rows: Vec<Vec<String>>,
    deleted: RoaringBitmap,
}

impl Segment {
    fn live(&self) -> impl Iterator<Item = &Vec<String>> {
        (0..)
            .zip(&self.rows)
            .filter(|(row, _)| !self.deleted.contains(*row))
            .map(|(_, words)| words)
    }
}

fn formula(segments: &[Segment], Bm25 { k1, b }: Bm25, query: &[String], words: &[String]) -> f64 {
    let (k1, b) = (f64::from(k1), f64::from(b));
    let live: Vec<&Vec<String>> = segments.iter().flat_map(Segment::live).collect();
    let total = live.len() as f64;
    let average = live
        .iter()
        .map(|words| quantised(words.len() as u64))
        .sum::<u64>() as f64
        / total;
    let length = quantised(words.len() as u64) as f64;
    let term = |term: &String| {
        let n = live.iter().filter(|words| words.contains(term)).count() as f64;
        let f = words.iter().filter(|word| *word == term).count() as f64;
        (1.0 + (total - n + 0.5) / (n + 0.5)).ln() * (k1 + 1.0) * f
            / (f + k1 * (1.0 - b + b * length / average))
    };
    // A term that only deleted rows have weighs nothing.
    query
        .iter()
        .filter(|term| live.iter().any(|words| words.contains(term)))
        .map(term)
        .sum()
}

fn write(segments: &[Segment], analyzer: &Analyzer, folder: &Path) -> Vec<Postings> {
    let written = segments.iter().enumerate().map(|(n, segment)| {
        let folder = folder.join(n.to_string());
        let mut writer = PostingsWriter::create(&folder, analyzer).unwrap();
        for words in &segment.rows {
            writer.push(&words.join(" ")).unwrap();
        }
        assert_eq!(writer.finish().unwrap() as usize, segment.rows.len());
        Postings::open(&folder).unwrap()
    });
    written.collect()
}

fn segments() -> impl Strategy<Value = Vec<Segment>> {
    // Words with frequencies that fall off, as in text; long rows for the quantised lengths.
    let word = (0..30_u32, 0..30_u32).prop_map(|(a, b)| format!("w{}", a.min(b)));
    let row = prop_oneof![
        prop::collection::vec(word.clone(), 0..12),
        prop::collection::vec(word, 0..300)
    ];
    let rows = prop::collection::vec((row, prop::bool::weighted(0.2)), 1..20);
    let segment = rows.prop_map(|rows| Segment {
        deleted: (0..)
            .zip(&rows)
            .filter(|(_, (_, deleted))| *deleted)
            .map(|(row, _)| row)
            .collect(),
        rows: rows.into_iter().map(|(words, _)| words).collect(),
    });
    prop::collection::vec(segment, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn scores_are_those_of_the_formula(
        segments in segments(),
        query in prop::collection::vec((0..40_u32).prop_map(|n| format!("w{n}")), 0..6),
        (k1, b) in (0.0_f32..3.0, 0.0_f32..=1.0),
    ) {
        let bm25 = Bm25 { k1, b };
        let analyzer = Analyzer::new("none").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = write(&segments, &analyzer, folder.path());
        let parts: Vec<Part<'_>> = opened.iter().zip(&segments)
            .map(|(postings, segment)| Part { postings, deleted: &segment.deleted }).collect();
        let totals = parts.iter().map(|part| part.postings.totals(part.deleted)).sum();
        let ranking = Ranking::new(&parts, totals, &Query::plain(&analyzer, &query.join(" ")), bm25).unwrap();
        for (postings, segment) in opened.iter().zip(&segments) {
            let scores = ranking.scores(postings).unwrap();
            prop_assert_eq!(scores.len(), segment.rows.len());
            for ((row, words), score) in (0..).zip(&segment.rows).zip(scores) {
                let expected = formula(&segments, bm25, &query, words);
                prop_assert!((f64::from(score) - expected).abs() <= 1e-4 * expected.max(1.0), "{score} {expected}");
                let terms = ranking.explain(postings, row).unwrap();
                let sum: f32 = terms.iter().map(|term| term.score).sum();
                prop_assert!((sum - score).abs() <= 1e-4 * score.max(1.0));
                for term in terms {
                    prop_assert_eq!(term.frequency as usize, words.iter().filter(|word| **word == term.term).count());
                }
            }
        }
    }
}

/// A part of a query as it is written, and as it is meant.
#[derive(Debug, Clone)]
struct Asked {
    /// `+`, `-` or nothing.
    sign: &'static str,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Word(String),
    Prefix(String),
    Phrase(Vec<String>),
}

impl Asked {
    fn written(&self) -> String {
        match &self.what {
            What::Word(word) => format!("{}{word}", self.sign),
            What::Prefix(prefix) => format!("{}{prefix}*", self.sign),
            What::Phrase(words) => format!("{}\"{}\"", self.sign, words.join(" ")),
        }
    }

    /// The words whose scores it adds where it matches.
    fn words(&self, segments: &[Segment]) -> Vec<String> {
        match &self.what {
            What::Word(word) => vec![word.clone()],
            What::Phrase(words) => words.clone(),
            What::Prefix(prefix) => {
                let live = segments.iter().flat_map(Segment::live).flatten();
                let all: BTreeSet<&String> = live.filter(|word| word.starts_with(prefix)).collect();
                all.into_iter().cloned().collect()
            }
        }
    }

    fn matches(&self, words: &[String]) -> bool {
        match &self.what {
            What::Word(word) => words.contains(word),
            What::Prefix(prefix) => words.iter().any(|word| word.starts_with(prefix)),
            What::Phrase(phrase) => words.windows(phrase.len()).any(|window| window == phrase),
        }
    }
}

fn query_parts() -> impl Strategy<Value = Vec<Asked>> {
    let word = || (0..12_u32).prop_map(|n| format!("w{n}"));
    let what = prop_oneof![
        3 => word().prop_map(What::Word),
        1 => word().prop_map(What::Prefix),
        2 => prop::collection::vec(word(), 2..4).prop_map(What::Phrase),
    ];
    let sign = prop::sample::select(vec!["", "", "", "+", "-"]);
    let part = (sign, what).prop_map(|(sign, what)| Asked { sign, what });
    let positive = |parts: &Vec<Asked>| parts.iter().any(|part| part.sign != "-");
    prop::collection::vec(part, 1..5).prop_filter("something to look for", positive)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn syntax_means_what_it_says(segments in segments(), parts in query_parts()) {
        let analyzer = Analyzer::new("none").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = write(&segments, &analyzer, folder.path());
        let totals = opened.iter().zip(&segments).map(|(postings, segment)| postings.totals(&segment.deleted)).sum();
        let searched: Vec<Part<'_>> = opened.iter().zip(&segments)
            .map(|(postings, segment)| Part { postings, deleted: &segment.deleted }).collect();
        let written: Vec<String> = parts.iter().map(Asked::written).collect();
        let query = Query::parse(&analyzer, &written.join("  ")).unwrap();
        let ranking = Ranking::new(&searched, totals, &query, Bm25::default()).unwrap();
        let mut found = false;
        for (postings, segment) in opened.iter().zip(&segments) {
            let scores = ranking.scores(postings).unwrap();
            for ((row, words), score) in (0..).zip(&segment.rows).zip(scores) {
                if segment.deleted.contains(row) {
                    continue;
                }
                let fits = parts.iter().all(|part| match part.sign {
                    "+" => part.matches(words),
                    "-" => !part.matches(words),
                    _ => true,
                });
                let adding = parts.iter().filter(|part| part.sign != "-" && part.matches(words));
                let expected: f64 = adding
                    .map(|part| formula(&segments, Bm25::default(), &part.words(&segments), words))
                    .sum();
                let expected = if fits { expected } else { 0.0 };
                prop_assert!((f64::from(score) - expected).abs() <= 1e-4 * expected.max(1.0), "{} {}", score, expected);
                if score > 0.0 {
                    found = true;
                    let sum: f32 = ranking.explain(postings, row).unwrap().iter().map(|term| term.score).sum();
                    prop_assert!((sum - score).abs() <= 1e-4 * score.max(1.0));
                    let text = words.join(" ");
                    prop_assert!(!query.highlight(&analyzer, &text).is_empty());
                }
            }
        }
        prop_assert!(!found || !ranking.is_empty());
    }
}

#[test]
fn stop_words_keep_their_place_in_a_phrase() {
    let analyzer = Analyzer::new("english").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "City of Lights",
        "City Lights",
        "the city of the lights",
        "lights of the city",
    ];
    let mut writer = PostingsWriter::create(folder.path(), &analyzer).unwrap();
    texts.iter().for_each(|text| writer.push(text).unwrap());
    writer.finish().unwrap();
    let postings = Postings::open(folder.path()).unwrap();
    let deleted = RoaringBitmap::new();
    let parts = [Part {
        postings: &postings,
        deleted: &deleted,
    }];
    let found = |query: &str| -> Vec<usize> {
        let query = Query::parse(&analyzer, query).unwrap();
        let ranking = Ranking::new(&parts, postings.totals(&deleted), &query, Bm25::default()).unwrap();
        let scores = ranking.scores(&postings).unwrap();
        (0..texts.len()).filter(|&row| scores[row] > 0.0).collect()
    };
    assert_eq!(found("\"city of lights\""), [0]);
    assert_eq!(found("\"city lights\""), [1]);
    assert_eq!(found("\"city a b lights\""), [0; 0]);
    assert_eq!(found("light*"), [0, 1, 2, 3]);
    assert_eq!(found("light* -\"lights of the city\""), [0, 1, 2]);
}

#[test]
fn bm25_has_its_ranges() {
    for (k1, b) in [(0.0, 0.0), (10.0, 1.0), (0.9, 0.4)] {
        assert!(Bm25 { k1, b }.check().is_ok());
    }
    for (k1, b) in [
        (-0.1, 0.5),
        (10.1, 0.5),
        (f32::NAN, 0.5),
        (1.2, -0.1),
        (1.2, 1.1),
        (1.2, f32::INFINITY),
    ] {
        assert!(Bm25 { k1, b }.check().is_err(), "{k1} {b}");
    }
}

#[test]
fn a_term_in_more_rows_than_fit_a_block_is_found_in_all() {
    let analyzer = Analyzer::new("english").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PostingsWriter::create(folder.path(), &analyzer).unwrap();
    for row in 0..1000 {
        writer
            .push(if row % 3 == 0 { "common rare" } else { "common" })
            .unwrap();
    }
    assert!(writer.memory_bytes() > 0);
    writer.finish().unwrap();
    let postings = Postings::open(folder.path()).unwrap();
    let deleted: RoaringBitmap = (0..10).collect();
    let parts = [Part {
        postings: &postings,
        deleted: &deleted,
    }];
    let ranking = Ranking::new(
        &parts,
        postings.totals(&deleted),
        &Query::plain(&analyzer, "rare"),
        Bm25::default(),
    )
    .unwrap();
    let scores = ranking.scores(&postings).unwrap();
    assert!((0..1000).all(|row| (scores[row] > 0.0) == (row % 3 == 0)));
    assert_eq!(
        ranking.explain(&postings, 999).unwrap()[0].document_frequency,
        334 - 4
    );
    assert_eq!(ranking.explain(&postings, 998).unwrap(), []);
}

#[test]
fn what_is_no_folder_of_postings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Postings::open(&folder.path().join("nowhere")).is_err());
    assert!(Postings::open(folder.path()).is_err());
}
