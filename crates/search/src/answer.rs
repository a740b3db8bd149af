//! Reading the best passages for the words that answer the query.
//!
//! Answers of several passages are compared by their margins: the logits of the words less those of "no answer" in
//! the same passage, which a reader that was also trained on texts without an answer makes comparable (Clark and
//! Gardner 2018, <https://arxiv.org/abs/1710.10723>, section 3). What the search thought of a passage decides only
//! whether it is read, and between equal margins: added to the margin with weights of up to 8 it changed the F1 of
//! answers from ten passages by at most half a point (the first round of the bundled reader, 199 questions of SQuAD dev,
//! whose interval is ten times as wide).

use corpus::Passage;
use infer::{InferError, Read, Reading};

use crate::budget::{Within, within};
use crate::searcher::Candidate;
use crate::{AnswerRequest, Answered, BestAnswer, Clock, ReadPassage, SearchRequest};

/// Passages read between two looks at the clock.
const BATCH_PASSAGES: usize = 4;

/// Reads the first candidates for an answer; says why when some were left out. `groups` are the hits of all pages, each
/// with the places of its candidates.
pub(crate) fn answer(
    model: &dyn Read,
    request: &SearchRequest,
    wanted: AnswerRequest,
    candidates: &[Candidate],
    groups: &[Vec<usize>],
    clock: &dyn Clock,
) -> Result<(Answered, Option<String>), InferError> {
    let first = candidates.iter().take(wanted.passages);
    let passages: Vec<&Passage> = first.map(|one| &one.passage).collect();
    let asked: Vec<(&str, &str)> = passages
        .iter()
        .map(|passage| (request.query.as_str(), passage.text.as_str()))
        .collect();
    let kind = (BATCH_PASSAGES, "read for an answer");
    let Within {
        found: readings,
        degraded,
    } = within(wanted.budget_ms, clock, kind, &asked, |asked| model.read(asked))?;
    let threshold = wanted.threshold.unwrap_or(model.threshold());
    let mut answered = outcome(&passages, &readings, threshold, groups);
    if !request.explain {
        answered.passages = None;
    }
    Ok((answered, degraded))
}

/// What came of reading the first passages. `groups` are the hits of all pages, each with the places of its passages
/// in the order of the search.
fn outcome(passages: &[&Passage], readings: &[Reading], threshold: f32, groups: &[Vec<usize>]) -> Answered {
    let best = best(readings);
    let answering = best.filter(|(_, margin)| *margin > threshold);
    let read = passages.iter().zip(readings);
    Answered {
        best: answering.map(|(at, _)| BestAnswer {
            rank: rank(groups, at),
            ..best_answer(passages[at], &readings[at])
        }),
        margin: best.map(|(_, margin)| margin),
        threshold,
        passages_read: readings.len(),
        passages: Some(
            read.map(|(passage, reading)| read_passage(passage, reading))
                .collect(),
        ),
    }
}

/// The place and margin of the reading with the greatest margin; of equal ones the first. None when no passage has
/// words.
fn best(readings: &[Reading]) -> Option<(usize, f32)> {
    let margins = readings.iter().map(margin).enumerate();
    let margins = margins.filter_map(|(at, margin)| Some((at, margin?)));
    // Of equal ones `max_by` takes the last.
    margins.rev().max_by(|(_, a), (_, b)| a.total_cmp(b))
}

/// The margin of a reading; none when its passage has no words.
fn margin(reading: &Reading) -> Option<f32> {
    (!reading.span.is_empty()).then(|| reading.margin())
}

/// The rank, from 1, of the hit that has the passage at this place.
fn rank(groups: &[Vec<usize>], at: usize) -> usize {
    groups
        .iter()
        .position(|group| group.contains(&at))
        .map_or(0, |place| place + 1)
}

fn best_answer(passage: &Passage, reading: &Reading) -> BestAnswer {
    let (first, span) = (passage.span.start, &reading.span);
    BestAnswer {
        text: words(passage, reading).to_owned(),
        document: passage.document.clone(),
        title: passage.title.clone(),
        chunk: passage.chunk,
        passage: passage.text.clone(),
        span: [span.start, span.end],
        document_span: [first + span.start, first + span.end],
        rank: 0,
    }
}

fn read_passage(passage: &Passage, reading: &Reading) -> ReadPassage {
    ReadPassage {
        document: passage.document.clone(),
        chunk: passage.chunk,
        text: words(passage, reading).to_owned(),
        span: [reading.span.start, reading.span.end],
        margin: margin(reading),
    }
}

fn words<'p>(passage: &'p Passage, reading: &Reading) -> &'p str {
    passage.text.get(reading.span.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;
    use corpus::{DocumentId, Metadata};

    fn reading(span: std::ops::Range<usize>, margin: f32) -> Reading {
        Reading {
            span,
            score: margin + 0.5,
            nothing: 0.5,
        }
    }

    fn passage(document: &str, chunk: u32, text: &str) -> Passage {
        Passage {
            document: DocumentId::new(document).unwrap(),
            chunk,
            title: "title".to_owned(),
            text: text.to_owned(),
            span: 100..100 + text.len(),
            metadata: Metadata::new(),
        }
    }

    #[test]
    fn the_greatest_margin_answers_when_it_is_above_the_threshold() {
        let passages = [
            passage("a", 0, "no"),
            passage("b", 1, "größe of Rome"),
            passage("a", 2, "x y"),
        ];
        let passages: Vec<&Passage> = passages.iter().collect();
        let readings = [reading(0..2, -3.0), reading(11..15, 2.0), reading(2..3, 2.0)];
        let groups = [vec![0, 2], vec![1]];
        let found = outcome(&passages, &readings, 1.5, &groups);
        let best = found.best.unwrap();
        assert_eq!(
            (best.text.as_str(), best.document.as_str(), best.chunk),
            ("Rome", "b", 1)
        );
        assert_eq!(
            (best.span, best.document_span, best.rank),
            ([11, 15], [111, 115], 2)
        );
        assert_eq!((found.margin, found.passages_read), (Some(2.0), 3));
        let margins: Vec<_> = found.passages.unwrap().iter().map(|read| read.margin).collect();
        assert_eq!(margins, [Some(-3.0), Some(2.0), Some(2.0)]);
        let none = outcome(&passages, &readings, 2.0, &groups);
        assert_eq!((none.best, none.margin), (None, Some(2.0)), "above, not at");
    }

    #[test]
    fn a_passage_without_words_never_answers() {
        let nothing = Reading {
            span: 0..0,
            score: f32::NEG_INFINITY,
            nothing: 0.0,
        };
        let only = passage("a", 0, " ");
        let found = outcome(&[&only], std::slice::from_ref(&nothing), -1000.0, &[vec![0]]);
        assert_eq!((found.best, found.margin, found.passages_read), (None, None, 1));
        assert_eq!(best(&[nothing, reading(0..1, -9.0)]), Some((1, -9.0)));
        assert_eq!(best(&[]), None);
    }
}
