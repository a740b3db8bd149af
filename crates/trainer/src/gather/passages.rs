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

/// Sentences that ask for a passage.
const ASKING: usize = 2;
/// Words that must be left of it.
const LEFT_WORDS_MIN: usize = 20;

/// How often a text stays whole where it would be cut.
const WHOLE: f64 = 0.1;
/// How often the passage quotes the sentences that ask for it: they are taken out of the others (the inverse cloze
/// task, Lee et al. 2019, <https://arxiv.org/abs/1906.00300>). A model that sees nothing but quotes learns to find
/// words again.
const QUOTED: f64 = 0.1;
/// How often a piece of such a sentence asks for it.
const PIECE: f64 = 0.35;
/// How often the heading asks for it.
const HEADING_ASKS: f64 = 0.5;
/// How often it stands in front where it does not ask.
const HEADING_IN_FRONT: f64 = 0.5;

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
    /// The text that is to be found, and the queries that ask for it: two of its sentences at most, which are mostly
    /// taken out of it, perhaps a piece of one in lower case, perhaps the heading.
    pub(super) fn pairs(self, random: &mut impl Rng) -> (String, Vec<String>) {
        let sentences = sentences(&self.text);
        let fits = |at: &usize| SENTENCE_WORDS.contains(&count(sentences[*at]));
        let mut asking: Vec<usize> = (0..sentences.len()).filter(fits).collect();
        asking.shuffle(random);
        let is_quoted = random.random_bool(QUOTED);
        let mut left = count(&self.text);
        asking.truncate(ASKING);
        asking.retain(|&at| {
            let less = left - count(sentences[at]);
            let stays = is_quoted || less >= LEFT_WORDS_MIN;
            left = if stays { less } else { left };
            stays
        });
        let mut queries: Vec<String> = asking.iter().map(|&at| sentences[at].to_owned()).collect();
        if let Some(sentence) = queries.first()
            && random.random_bool(PIECE)
        {
            queries.push(piece(sentence, random));
        }
        let positive = match is_quoted {
            true => self.text.clone(),
            false => {
                let rest = sentences
                    .iter()
                    .enumerate()
                    .filter(|(at, _)| !asking.contains(at));
                rest.map(|(_, sentence)| *sentence).collect::<Vec<_>>().join(" ")
            }
        };
        if self.heading.is_empty() {
            return (positive, queries);
        }
        if random.random_bool(HEADING_ASKS) {
            queries.push(self.heading);
            return (positive, queries);
        }
        match random.random_bool(HEADING_IN_FRONT) {
            true => (format!("{}. {positive}", self.heading), queries),
            false => (positive, queries),
        }
    }
}

/// A few words in a row, as people type them.
fn piece(sentence: &str, random: &mut impl Rng) -> String {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let length = random.random_range(PIECE_WORDS).min(words.len());
    let start = random.random_range(0..=words.len() - length);
    let piece = words[start..start + length].join(" ").to_lowercase();
    piece.trim_matches(&['.', ',', ';', ':', '(', ')'][..]).to_owned()
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
        part(0, words)
    }

    /// Words that stand nowhere else.
    fn part(start: usize, words: usize) -> String {
        let word = |n: usize| {
            if n % 10 == 9 {
                format!("w{n}.")
            } else {
                format!("w{n}")
            }
        };
        (start..start + words).map(word).collect::<Vec<_>>().join(" ")
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
            paragraphs: (0..400).map(|number| part(30 * number, 30)).collect(),
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
        let (mut quoted, mut asked, mut in_front) = (0, 0, 0);
        let count_of = passages.len();
        for passage in passages {
            let (whole, heading) = (passage.text.clone(), passage.heading.clone());
            let (positive, queries) = passage.pairs(&mut random);
            let in_lower_case = whole.to_lowercase();
            for query in &queries {
                assert!(
                    in_lower_case.contains(&query.to_lowercase()) || *query == heading,
                    "{query}"
                );
            }
            asked += usize::from(queries.contains(&heading));
            in_front += usize::from(positive.starts_with(&heading));
            assert!(!(queries.contains(&heading) && positive.contains(&heading)));
            quoted += usize::from(positive.contains(queries[0].as_str()));
            assert!(count(&positive) >= LEFT_WORDS_MIN);
        }
        assert!(quoted > 0 && 5 * quoted < count_of, "{quoted} of {count_of}");
        assert!(
            3 * asked > count_of && 8 * in_front > count_of,
            "{asked} {in_front}"
        );
    }
}
