//! Scores against BM25 from its formula, over random passages in several segments with deleted rows.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use lexical::{Analyzer, Part, Postings, PostingsWriter, Query, Ranking};
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

fn bm25(segments: &[Segment], query: &[String], words: &[String]) -> f64 {
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
        (1.0 + (total - n + 0.5) / (n + 0.5)).ln() * 2.2 * f / (f + 1.2 * (0.25 + 0.75 * length / average))
    };
    // A term that only deleted rows have weighs nothing.
    query
        .iter()
        .filter(|term| live.iter().any(|words| words.contains(term)))
        .map(term)
        .sum()
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
        query in prop::collection::vec((0..40_u32).prop_map(|n| format!("w{n}")), 0..6)
    ) {
        let analyzer = Analyzer::new("none").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let opened: Vec<Postings> = segments.iter().enumerate().map(|(n, segment)| {
            let folder = folder.path().join(n.to_string());
            let mut writer = PostingsWriter::create(&folder, &analyzer).unwrap();
            for words in &segment.rows {
                writer.push(&words.join(" ")).unwrap();
            }
            assert_eq!(writer.finish().unwrap() as usize, segment.rows.len());
            Postings::open(&folder).unwrap()
        }).collect();
        let parts: Vec<Part<'_>> = opened.iter().zip(&segments)
            .map(|(postings, segment)| Part { postings, deleted: &segment.deleted }).collect();
        let totals = parts.iter().map(|part| part.postings.totals(part.deleted)).sum();
        let ranking = Ranking::new(&parts, totals, &Query::new(&analyzer, &query.join(" "))).unwrap();
        for (postings, segment) in opened.iter().zip(&segments) {
            let scores = ranking.scores(postings).unwrap();
            prop_assert_eq!(scores.len(), segment.rows.len());
            for ((row, words), score) in (0..).zip(&segment.rows).zip(scores) {
                let expected = bm25(&segments, &query, words);
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
    let ranking = Ranking::new(&parts, postings.totals(&deleted), &Query::new(&analyzer, "rare")).unwrap();
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
