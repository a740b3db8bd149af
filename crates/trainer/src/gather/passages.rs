//! Passages of varied length out of documents, and queries that ask for them.

use rand::Rng;
use rand::seq::SliceRandom as _;

use crate::texts::{Document, Section};

/// Words from which on a passage may end; one is chosen for each passage.
const TARGET_WORDS: [usize; 4] = [40, 70, 100, 140];
/// Words by which a passage may go beyond before it is cut.
const BEYOND_WORDS: usize = 20;
/// Words of a passage.
const PASSAGE_WORDS: std::ops::RangeInclusive<usize> = 25..=230;
/// Words of a sentence that is a query.
const SENTENCE_WORDS: std::ops::RangeInclusive<usize> = 7..=42;
/// Words of a piece of the passage that is a query.
const PIECE_WORDS: std::ops::RangeInclusive<usize> = 5..=14;

/// How often a text stays whole where it would be cut.
const WHOLE: f64 = 0.1;
/// How often a piece of the passage asks for it.
const PIECE: f64 = 0.35;
/// How often the heading asks for it.
const HEADING_ASKS: f64 = 0.5;
/// How often the heading stands in front of it.
const HEADING_IN_FRONT: f64 = 0.3;

/// A part of a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passage {
    /// Title and heading; empty when there are none.
    heading: String,
    text: String,
}

/// The passages of a document: paragraphs of a section together until a chosen length is reached.
pub(super) fn passages(document: &Document, random: &mut impl Rng) -> Vec<Passage> {
    let plain = Section {
        heading: String::new(),
        paragraphs: document.text.lines().map(str::to_owned).collect(),
    };
    let mut passages = Vec::new();
    for section in std::iter::once(&plain).chain(&document.sections) {
        let heading = joined(&document.title, &section.heading);
        let mut rest = section.paragraphs.as_slice();
        while !rest.is_empty() {
            let target = TARGET_WORDS[random.random_range(0..TARGET_WORDS.len())];
            let mut words = 0;
            let enough = rest.iter().position(|paragraph| {
                words += count(paragraph);
                words >= target
            });
            let (taken, left) = rest.split_at(enough.map_or(rest.len(), |at| at + 1));
            rest = left;
            let text = cut(taken.join(" ").trim(), target + BEYOND_WORDS, random);
            if PASSAGE_WORDS.contains(&count(&text)) {
                let heading = heading.clone();
                passages.push(Passage { heading, text });
            }
        }
    }
    passages
}

impl Passage {
    /// Two sentences at most, perhaps a piece in lower case, perhaps the heading.
    pub(super) fn queries(&self, random: &mut impl Rng) -> Vec<String> {
        let mut sentences = sentences(&self.text);
        sentences.retain(|sentence| SENTENCE_WORDS.contains(&count(sentence)));
        sentences.shuffle(random);
        let mut queries: Vec<String> = sentences.into_iter().take(2).map(str::to_owned).collect();
        if random.random_bool(PIECE) {
            queries.push(self.piece(random));
        }
        if random.random_bool(HEADING_ASKS) && !self.heading.is_empty() {
            queries.push(self.heading.clone());
        }
        queries
    }

    /// A few words in a row, as people type them.
    fn piece(&self, random: &mut impl Rng) -> String {
        let words: Vec<&str> = self.text.split_whitespace().collect();
        let length = random.random_range(PIECE_WORDS).min(words.len());
        let start = random.random_range(0..=words.len() - length);
        let piece = words[start..start + length].join(" ").to_lowercase();
        piece.trim_matches(&['.', ',', ';', ':', '(', ')'][..]).to_owned()
    }

    /// The text, perhaps with the heading in front.
    pub(super) fn positive(&self, random: &mut impl Rng) -> String {
        match random.random_bool(HEADING_IN_FRONT) && !self.heading.is_empty() {
            true => format!("{}. {}", self.heading, self.text),
            false => self.text.clone(),
        }
    }
}

/// The first sentences of a text that are about `words` words together; a sentence that is far longer is cut
/// within. Texts that are only a little longer stay whole, and so does one in ten of the others.
pub(super) fn cut(text: &str, words: usize, random: &mut impl Rng) -> String {
    let stays = random.random_bool(WHOLE);
    if stays || 4 * count(text) <= 5 * words {
        return text.to_owned();
    }
    let mut taken = Vec::new();
    let mut length = 0;
    for sentence in sentences(text) {
        let more = count(sentence);
        if length > 0 && length + more > words {
            break;
        }
        taken.push(sentence);
        length += more;
    }
    if 10 * length <= 16 * words {
        return taken.join(" ");
    }
    text.split_whitespace().take(words).collect::<Vec<_>>().join(" ")
}

/// The text in pieces that end with a full stop, a question or an exclamation mark before white space.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let (mut start, mut has_ended) = (0, false);
    for (at, character) in text.char_indices() {
        if has_ended && character.is_whitespace() {
            sentences.push(text[start..at].trim());
            start = at;
        }
        has_ended = matches!(character, '.' | '!' | '?');
    }
    sentences.push(text[start..].trim());
    sentences.retain(|sentence| !sentence.is_empty());
    sentences
}

fn count(text: &str) -> usize {
    text.split_whitespace().count()
}

fn joined(title: &str, heading: &str) -> String {
    match (title.is_empty(), heading.is_empty()) {
        (false, false) => format!("{title}: {heading}"),
        _ => format!("{title}{heading}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    fn text(words: usize) -> String {
        let word = |n: usize| {
            if n % 10 == 9 {
                format!("w{n}.")
            } else {
                format!("w{n}")
            }
        };
        (0..words).map(word).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn sentences_end_before_white_space_only() {
        assert_eq!(
            sentences("Version 1.2 is out. Is it?  Yes! "),
            ["Version 1.2 is out.", "Is it?", "Yes!"]
        );
        assert!(sentences(" ").is_empty());
    }

    #[test]
    fn texts_are_cut_after_a_sentence_and_some_stay_whole() {
        let (long, mut whole) = (text(300), 0);
        for number in 0..1000 {
            let cut = cut(&long, 105, &mut random::stream(1, "test", number));
            match count(&cut) {
                300 => whole += 1,
                100 => assert!(cut.ends_with("w99.")),
                other => panic!("{other} words"),
            }
        }
        assert!((70..130).contains(&whole), "{whole}");
        let endless = "word ".repeat(300);
        let lengths: Vec<usize> = (0..20)
            .map(|n| count(&cut(&endless, 50, &mut random::stream(2, "test", n))))
            .collect();
        assert!(
            lengths.contains(&50) && lengths.iter().all(|n| [50, 300].contains(n)),
            "{lengths:?}"
        );
        assert_eq!(count(&cut(&text(60), 50, &mut random::stream(1, "test", 0))), 60);
    }

    #[test]
    fn passages_cover_sections_in_varied_lengths_with_queries_of_their_own() {
        let section = |heading: &str| Section {
            heading: heading.into(),
            paragraphs: vec![text(30); 20],
        };
        let document = Document {
            title: "Title".into(),
            sections: vec![section("One"), section("")],
            ..Document::default()
        };
        let mut random = random::stream(3, "test", 0);
        let passages = passages(&document, &mut random);
        let lengths: std::collections::HashSet<usize> = passages.iter().map(|p| count(&p.text)).collect();
        assert!(lengths.len() > 2 && passages.len() > 8, "{lengths:?}");
        assert!(passages.iter().any(|p| p.heading == "Title: One"));
        assert!(passages.iter().any(|p| p.heading == "Title"));
        for passage in &passages {
            for query in passage.queries(&mut random) {
                let is_of_passage = passage.text.contains(query.as_str()) || query == passage.heading;
                assert!(is_of_passage, "{query}");
            }
        }
    }
}
