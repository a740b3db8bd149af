//! Two segments in a sequence, and what is asked about them.

use std::ops::Range;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::stream::Stream;

/// A second objective over two segments of a sequence. Both segments are whole sentences of one document, or the
/// second is taken from elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pairs {
    /// None: a sequence is one segment.
    #[default]
    None,
    /// Does the second follow the first? In half of the pairs it is taken from another document (Devlin et al. 2018,
    /// section 3.1).
    NextSentence,
    /// Are the two in order? In half of the pairs they are exchanged (Lan et al. 2019, "ALBERT", section 3.1).
    SentenceOrder,
}

/// Two segments of the stream. The label is 0 when the second follows the first, 1 when it does not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pair {
    pub(super) segments: [Range<usize>; 2],
    pub(super) label: u32,
}

/// The sentences that segments are made of, each at most half as long as both segments together may be: longer ones
/// are cut.
pub(super) struct Sentences {
    starts: Vec<usize>,
    room: usize,
}

impl Sentences {
    /// For segments with `room` for tokens together, 2 or more.
    pub(super) fn new(stream: &Stream, room: usize) -> Self {
        let mut starts = Vec::with_capacity(stream.sentences().len());
        let mut sentences = stream.sentences().iter().copied().peekable();
        for document in stream.documents() {
            while let Some(start) = sentences.next_if(|&start| start < document.end) {
                let end = sentences
                    .peek()
                    .map_or(document.end, |&next| next.min(document.end));
                starts.extend((start..end).step_by((room / 2).max(1)));
            }
        }
        Self { starts, room }
    }

    /// The documents in pieces of as many sentences as fit, at least two. A sentence that is left alone at the end of
    /// its document is in none.
    pub(super) fn pieces(&self, stream: &Stream) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        for document in stream.documents() {
            let mut start = document.start;
            while start < document.end {
                let end = self.fill(start, self.room, document.end);
                if !self.inner(&(start..end)).is_empty() {
                    pieces.push(start..end);
                }
                start = end;
            }
        }
        pieces
    }

    /// Two segments out of a piece; `others` are all pieces of the stream, of two documents or more when the
    /// objective asks for another one.
    pub(super) fn pair(
        &self,
        stream: &Stream,
        piece: &Range<usize>,
        others: &[Range<usize>],
        objective: Pairs,
        random: &mut impl Rng,
    ) -> Pair {
        let inner = self.inner(piece);
        let middle = inner[random.random_range(0..inner.len())];
        let (first, second) = (piece.start..middle, middle..piece.end);
        let label = u32::from(random.random_bool(0.5));
        let segments = match (objective, label) {
            (Pairs::NextSentence, 1) => {
                let other = self.elsewhere(stream, &first, others, random);
                [first, other]
            }
            (_, 1) => [second, first],
            (_, _) => [first, second],
        };
        Pair { segments, label }
    }

    /// Sentences of another document, as many as fit beside `first`: chosen as the true ones are, so that neither
    /// length nor end gives the answer away.
    fn elsewhere(
        &self,
        stream: &Stream,
        first: &Range<usize>,
        others: &[Range<usize>],
        random: &mut impl Rng,
    ) -> Range<usize> {
        let document = stream.document_of(first.start);
        let other = loop {
            let other = &others[random.random_range(0..others.len())];
            if stream.document_of(other.start) != document {
                break other;
            }
        };
        let inner = self.inner(other);
        let start = inner[random.random_range(0..inner.len())];
        let end = stream.documents()[stream.document_of(start)].end;
        start..self.fill(start, self.room - first.len(), end)
    }

    /// Where as many sentences as fit into `room` end, not beyond `end`; the first one is cut when it is too long.
    fn fill(&self, start: usize, room: usize, end: usize) -> usize {
        let most = start + room;
        if end <= most {
            return end;
        }
        let after = self.starts.partition_point(|&at| at <= most);
        match self.starts[..after].last() {
            Some(&last) if last > start => last,
            _ => most,
        }
    }

    /// Where sentences begin inside a piece, its own start left out.
    fn inner(&self, piece: &Range<usize>) -> &[usize] {
        let from = self.starts.partition_point(|&at| at <= piece.start);
        let to = self.starts.partition_point(|&at| at < piece.end);
        &self.starts[from..to.max(from)]
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::tests::stream;
    use super::*;
    use crate::random;

    /// Documents of sentences of 1 to 9 tokens; the first has a sentence that is too long, the last only one.
    fn documents() -> Stream {
        let sentence = |words: usize| vec!["a"; words].join(" ") + ".";
        let mut texts = vec![[sentence(3), sentence(50), sentence(2)].join(" ")];
        for document in 0..8 {
            let sentences: Vec<String> = (0..20)
                .map(|number| sentence(1 + (number * 7 + document * 3) % 8))
                .collect();
            texts.push(sentences.join("\n"));
        }
        texts.push(sentence(4));
        stream(&texts.iter().map(String::as_str).collect::<Vec<_>>())
    }

    #[test]
    fn pieces_are_sentences_of_one_document_and_lose_no_more_than_the_last_one() {
        let stream = documents();
        let sentences = Sentences::new(&stream, 29);
        let pieces = sentences.pieces(&stream);
        for piece in &pieces {
            assert!(
                piece.len() <= 29 && !sentences.inner(piece).is_empty(),
                "{piece:?}"
            );
            let document = &stream.documents()[stream.document_of(piece.start)];
            assert!(document.start <= piece.start && piece.end <= document.end);
            assert!(sentences.starts.contains(&piece.start));
            assert!(piece.end == document.end || sentences.starts.contains(&piece.end));
        }
        for document in &stream.documents()[..9] {
            let inside = pieces.iter().filter(|piece| document.contains(&piece.start));
            let covered: usize = inside.map(Range::len).sum();
            assert!(covered + 9 >= document.len(), "{covered} of {document:?}");
        }
        assert!(pieces.iter().all(|piece| stream.document_of(piece.start) < 9));
    }

    #[test]
    fn labels_are_true_and_balanced() {
        let stream = documents();
        let sentences = Sentences::new(&stream, 29);
        let pieces = sentences.pieces(&stream);
        for objective in [Pairs::NextSentence, Pairs::SentenceOrder] {
            let mut ones = 0;
            let mut lengths = [0.0f64; 2];
            for number in 0..4000 {
                let piece = &pieces[number as usize % pieces.len()];
                let random = &mut random::stream(7, "test", number);
                let Pair { segments, label } = sentences.pair(&stream, piece, &pieces, objective, random);
                let [first, second] = &segments;
                assert!(!first.is_empty() && !second.is_empty());
                assert!(first.len() + second.len() <= 29, "{segments:?}");
                let documents = [first, second].map(|segment| stream.document_of(segment.start));
                match (objective, label) {
                    (_, 0) => assert!(first.end == second.start && documents[0] == documents[1]),
                    (Pairs::NextSentence, _) => assert_ne!(documents[0], documents[1]),
                    _ => assert!(second.end == first.start && documents[0] == documents[1]),
                }
                for segment in &segments {
                    let end = stream.documents()[stream.document_of(segment.start)].end;
                    assert!(segment.end <= end && sentences.starts.contains(&segment.start));
                }
                ones += label;
                lengths[label as usize] += (first.len() + second.len()) as f64;
            }
            assert!((1850..2150).contains(&ones), "{objective:?}: {ones} of 4000");
            let means = [lengths[0] / f64::from(4000 - ones), lengths[1] / f64::from(ones)];
            assert!(
                (means[0] - means[1]).abs() < 2.0,
                "{objective:?}: the length tells: {means:?}"
            );
        }
    }
}
