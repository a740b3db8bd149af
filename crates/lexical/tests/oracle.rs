//! Scores against BM25 from its formula, over random passages in several segments with deleted rows.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::collections::BTreeSet;
use std::path::Path;

use lexical::{Analyzer, Bm25, Part, Postings, PostingsWriter, Query, Ranking, Synonyms};
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

/// What counts as one term: how often it stands in a row.
type Counts<'a> = dyn Fn(&[String]) -> usize + 'a;

fn formula(segments: &[Segment], Bm25 { k1, b }: Bm25, count: &Counts<'_>, words: &[String]) -> f64 {
    let (k1, b) = (f64::from(k1), f64::from(b));
    let live: Vec<&Vec<String>> = segments.iter().flat_map(Segment::live).collect();
    let total = live.len() as f64;
    let average = live
        .iter()
        .map(|words| quantised(words.len() as u64))
        .sum::<u64>() as f64
        / total;
    let length = quantised(words.len() as u64) as f64;
    let n = live.iter().filter(|words| count(words) > 0).count() as f64;
    let f = count(words) as f64;
    // What only deleted rows have weighs nothing.
    if n == 0.0 {
        return 0.0;
    }
    (1.0 + (total - n + 0.5) / (n + 0.5)).ln() * (k1 + 1.0) * f / (f + k1 * (1.0 - b + b * length / average))
}

fn write(segments: &[Segment], analyzer: &Analyzer, folder: &Path) -> Vec<Postings> {
    let written = segments.iter().enumerate().map(|(n, segment)| {
        let folder = folder.join(n.to_string());
        let mut writer = PostingsWriter::create(&folder, analyzer).unwrap();
        for words in &segment.rows {
            writer.push([words.join(" ").as_str()]).unwrap();
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
        let analyzer = Analyzer::new("none", true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = write(&segments, &analyzer, folder.path());
        let parts: Vec<Part<'_>> = opened.iter().zip(&segments)
            .map(|(postings, segment)| Part { postings, deleted: &segment.deleted }).collect();
        let totals = parts.iter().map(|part| part.postings.totals(part.deleted)).sum();
        let ranking = Ranking::new(&parts, totals, bm25);
        let asked = Query::plain(&analyzer, &Synonyms::default(), &query.join(" "));
        let all = ranking.scores(&asked).unwrap();
        let known = |word: &String| segments.iter().flat_map(Segment::live).any(|words| words.contains(word));
        prop_assert_eq!(all.len(), if query.iter().any(known) { segments.len() } else { 0 });
        for ((part, segment), scores) in (0..).zip(&segments).zip(all) {
            prop_assert_eq!(scores.len(), segment.rows.len());
            for ((row, words), score) in (0..).zip(&segment.rows).zip(scores) {
                let term = |term: &String| {
                    let count = |words: &[String]| words.iter().filter(|word| *word == term).count();
                    formula(&segments, bm25, &count, words)
                };
                let expected: f64 = query.iter().map(term).sum();
                prop_assert!((f64::from(score) - expected).abs() <= 1e-4 * expected.max(1.0), "{score} {expected}");
                let terms = ranking.explain(&asked, part, row).unwrap();
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

    /// How often a row has it. The words w1, w2 and w3 w4 mean the same.
    fn count(&self, words: &[String]) -> usize {
        let phrase = |phrase: &[String]| {
            let windows = words.windows(phrase.len());
            windows.filter(|window| *window == phrase).count()
        };
        let same = ["w1", "w2"].map(String::from);
        match &self.what {
            What::Word(word) if same.contains(word) => {
                same.iter()
                    .map(|word| phrase(std::slice::from_ref(word)))
                    .sum::<usize>()
                    + phrase(&["w3", "w4"].map(String::from))
            }
            What::Word(word) => phrase(std::slice::from_ref(word)),
            What::Prefix(prefix) => words.iter().filter(|word| word.starts_with(prefix)).count(),
            What::Phrase(words) => phrase(words),
        }
    }

    fn matches(&self, words: &[String]) -> bool {
        self.count(words) > 0
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
        let analyzer = Analyzer::new("none", true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened = write(&segments, &analyzer, folder.path());
        let totals = opened.iter().zip(&segments).map(|(postings, segment)| postings.totals(&segment.deleted)).sum();
        let searched: Vec<Part<'_>> = opened.iter().zip(&segments)
            .map(|(postings, segment)| Part { postings, deleted: &segment.deleted }).collect();
        let written: Vec<String> = parts.iter().map(Asked::written).collect();
        let synonyms = Synonyms::parse(&analyzer, "w1, w2, w3 w4").unwrap();
        let query = Query::parse(&analyzer, &synonyms, &written.join("  ")).unwrap();
        let ranking = Ranking::new(&searched, totals, Bm25::default());
        let all = ranking.scores(&query).unwrap();
        for (part, segment) in segments.iter().enumerate() {
            for (row, words) in (0..).zip(&segment.rows) {
                if segment.deleted.contains(row) {
                    continue;
                }
                let score = all.get(part).map_or(0.0, |scores| scores[row as usize]);
                let fits = parts.iter().all(|part| match part.sign {
                    "+" => part.matches(words),
                    "-" => !part.matches(words),
                    _ => true,
                });
                let adding = parts.iter().filter(|part| part.sign != "-" && part.matches(words));
                let expected: f64 = adding
                    .map(|part| formula(&segments, Bm25::default(), &|words| part.count(words), words))
                    .sum();
                let expected = if fits { expected } else { 0.0 };
                prop_assert!((f64::from(score) - expected).abs() <= 1e-4 * expected.max(1.0), "{} {}", score, expected);
                if score > 0.0 {
                    let sum: f32 = ranking.explain(&query, part, row).unwrap().iter().map(|term| term.score).sum();
                    prop_assert!((sum - score).abs() <= 1e-4 * score.max(1.0));
                    let text = words.join(" ");
                    prop_assert!(!query.highlight(&analyzer, &text).is_empty());
                }
            }
        }
    }

    /// Against a table of all distances.
    #[test]
    fn a_misspelt_word_stands_for_the_nearest_terms(
        rows in prop::collection::vec(prop::collection::vec("[abc]{3,9}", 1..6), 1..12),
        deleted in prop::collection::vec(prop::bool::weighted(0.2), 12),
        word in "[abc]{3,9}",
    ) {
        let segment = Segment {
            deleted: (0..rows.len() as u32).filter(|&row| deleted[row as usize]).collect(),
            rows,
        };
        let analyzer = Analyzer::new("none", true).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let segments = [segment];
        let opened = write(&segments, &analyzer, folder.path());
        let parts = [Part { postings: &opened[0], deleted: &segments[0].deleted }];
        let live: BTreeSet<&String> = segments[0].live().flatten().collect();
        let distance = |term: &&&String| distance(&word, term);
        let reach = match word.len() { 0..4 => 0, 4..8 => 1, _ => 2 };
        let nearest = live.iter().map(|term| distance(&term)).min().filter(|&nearest| nearest <= reach);
        let expected: BTreeSet<&String> = match nearest {
            Some(nearest) => live.iter().filter(|term| distance(term) == nearest).copied().collect(),
            None => BTreeSet::new(),
        };
        let query = Query::plain(&analyzer, &Synonyms::default(), &word).with_typos(&parts).unwrap();
        let totals = opened[0].totals(&segments[0].deleted);
        let scores = Ranking::new(&parts, totals, Bm25::default()).scores(&query).unwrap();
        for (row, words) in segments[0].rows.iter().enumerate() {
            let found = scores.first().is_some_and(|scores| scores[row] > 0.0);
            prop_assert_eq!(found, words.iter().any(|word| expected.contains(word)), "{:?}", expected);
        }
    }
}

/// Insertions, deletions, substitutions and transpositions from one word to another, no letter edited twice.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    let mut table = vec![vec![0; to.len() + 1]; from.len() + 1];
    for i in 0..=from.len() {
        for j in 0..=to.len() {
            table[i][j] = match (i, j) {
                (0, edits) | (edits, 0) => edits,
                _ => {
                    let changed = usize::from(from[i - 1] != to[j - 1]);
                    let mut edits = (table[i - 1][j - 1] + changed)
                        .min(table[i - 1][j] + 1)
                        .min(table[i][j - 1] + 1);
                    if i > 1 && j > 1 && from[i - 1] == to[j - 2] && from[i - 2] == to[j - 1] {
                        edits = edits.min(table[i - 2][j - 2] + 1);
                    }
                    edits
                }
            };
        }
    }
    table[from.len()][to.len()]
}

#[test]
fn stop_words_keep_their_place_in_a_phrase() {
    let analyzer = Analyzer::new("english", true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let texts = [
        "City of Lights",
        "City Lights",
        "the city of the lights",
        "lights of the city",
    ];
    let mut writer = PostingsWriter::create(folder.path(), &analyzer).unwrap();
    texts.iter().for_each(|text| writer.push([*text]).unwrap());
    writer.finish().unwrap();
    let postings = Postings::open(folder.path()).unwrap();
    let deleted = RoaringBitmap::new();
    let parts = [Part {
        postings: &postings,
        deleted: &deleted,
    }];
    let found = |query: &str| -> Vec<usize> {
        let query = Query::parse(&analyzer, &Synonyms::default(), query).unwrap();
        let ranking = Ranking::new(&parts, postings.totals(&deleted), Bm25::default());
        let scores = ranking.scores(&query).unwrap();
        let score = |row: usize| scores.first().map_or(0.0, |scores| scores[row]);
        (0..texts.len()).filter(|&row| score(row) > 0.0).collect()
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
    let analyzer = Analyzer::new("english", true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PostingsWriter::create(folder.path(), &analyzer).unwrap();
    for row in 0..1000 {
        writer
            .push([if row % 3 == 0 { "common rare" } else { "common" }])
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
    let query = Query::plain(&analyzer, &Synonyms::default(), "rare");
    let ranking = Ranking::new(&parts, postings.totals(&deleted), Bm25::default());
    let scores = ranking.scores(&query).unwrap().remove(0);
    assert!((0..1000).all(|row| (scores[row] > 0.0) == (row % 3 == 0)));
    let explained = ranking.explain(&query, 0, 999).unwrap();
    assert_eq!(explained[0].document_frequency, 334 - 4);
    assert_eq!(ranking.explain(&query, 0, 998).unwrap(), []);
}

#[test]
fn no_phrase_goes_from_one_text_of_a_row_to_the_next() {
    let analyzer = Analyzer::new("english", true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut writer = PostingsWriter::create(folder.path(), &analyzer).unwrap();
    writer.push(["red house", "of brick"]).unwrap();
    writer.push(["red", "house of brick"]).unwrap();
    writer.finish().unwrap();
    let postings = Postings::open(folder.path()).unwrap();
    let parts = [Part {
        postings: &postings,
        deleted: &RoaringBitmap::new(),
    }];
    let totals = postings.totals(&RoaringBitmap::new());
    let found = |query: &str| -> Vec<bool> {
        let query = Query::parse(&analyzer, &Synonyms::default(), query).unwrap();
        let scores = Ranking::new(&parts, totals, Bm25::default())
            .scores(&query)
            .unwrap();
        scores[0].iter().map(|&score| score > 0.0).collect()
    };
    assert_eq!(found("\"red house\""), [true, false]);
    assert_eq!(found("\"house of brick\""), [false, true]);
    assert_eq!(found("\"house brick\" red"), [true, true]);
}

#[test]
fn what_is_no_folder_of_postings_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Postings::open(&folder.path().join("nowhere")).is_err());
    assert!(Postings::open(folder.path()).is_err());
}
