//! Passages of varied length out of documents, and queries that ask for them.

use rand::Rng;
use rand::seq::SliceRandom as _;

use crate::texts::Document;

/// Words from which on a passage may end; one is chosen for each passage.
const TARGET_WORDS: [usize; 4] = [40, 70, 100, 140];
/// Words by which a passage may go beyond before it is cut.
const BEYOND_WORDS: usize = 20;
/// Words of a passage.
const PASSAGE_WORDS: std::ops::RangeInclusive<usize> = 25..=230;
/// Words of a sentence that is a query.
const SENTENCE_WORDS: std::ops::RangeInclusive<usize> = 7..=42;
/// Words after which a sentence ends in any case: what has no full stop is a list.
const LONGEST_WORDS: usize = 100;
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
/// How often a sentence that was taken out asks for the next passage of its section, too: what is told there goes on
/// with it.
const NEXT_ASKED: f64 = 0.5;
/// How often the heading asks for it.
const HEADING_ASKS: f64 = 0.5;
/// How often it stands in front where it does not ask.
const HEADING_IN_FRONT: f64 = 0.5;

/// A passage that is to be found, and what asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) positive: String,
    pub(super) queries: Vec<String>,
}

/// The passages of a document with the queries that ask for each: its own, and perhaps a sentence that was taken out
/// of the passage before it in the same section.
pub(super) fn passages(document: &Document, random: &mut impl Rng) -> Vec<Asked> {
    let plain = (document.title.clone(), document.text.clone());
    let sections = document.sections.iter().map(|section| {
        let heading = joined(&document.title, &section.heading);
        (heading, section.paragraphs.join("\n"))
    });
    let mut passages = Vec::new();
    for (heading, text) in std::iter::once(plain).chain(sections) {
        let mut before = None;
        for passage in split(&sentences(&text), random) {
            let (mut asked, taken_out) = ask(passage, &heading, random);
            asked.queries.extend(before.take());
            before = taken_out.filter(|_| random.random_bool(NEXT_ASKED));
            passages.push(asked);
        }
    }
    passages
}

/// A section in passages: sentences until a chosen length is reached and a paragraph ends, or until the next one would
/// go too far beyond.
fn split<'s, 'a>(mut rest: &'s [Sentence<'a>], random: &mut impl Rng) -> Vec<&'s [Sentence<'a>]> {
    let mut left: usize = rest.iter().map(|sentence| sentence.words).sum();
    let mut passages = Vec::new();
    while !rest.is_empty() {
        let target = TARGET_WORDS[random.random_range(0..TARGET_WORDS.len())];
        let most = match random.random_bool(WHOLE) {
            true => *PASSAGE_WORDS.end(),
            false => target + BEYOND_WORDS,
        };
        let (mut words, mut taken) = (0, 0);
        for sentence in rest {
            // What is too short for a passage stays with the one before.
            let is_rest = left < *PASSAGE_WORDS.start() && words + left <= *PASSAGE_WORDS.end();
            let is_passage = words >= *PASSAGE_WORDS.start();
            if is_passage && words + sentence.words > most && !is_rest {
                break;
            }
            words += sentence.words;
            left -= sentence.words;
            taken += 1;
            if sentence.ends_paragraph && words >= target && left >= *PASSAGE_WORDS.start() {
                break;
            }
        }
        let (passage, after) = rest.split_at(taken);
        rest = after;
        if PASSAGE_WORDS.contains(&words) {
            passages.push(passage);
        }
    }
    passages
}

/// The text that is to be found, and the queries that ask for it: two of its sentences at most, which are mostly taken
/// out of it, perhaps a piece of one in lower case, perhaps the heading. And one of the sentences that were taken out.
fn ask(passage: &[Sentence<'_>], heading: &str, random: &mut impl Rng) -> (Asked, Option<String>) {
    let fits = |at: &usize| SENTENCE_WORDS.contains(&passage[*at].words);
    let mut asking: Vec<usize> = (0..passage.len()).filter(fits).collect();
    asking.shuffle(random);
    let is_quoted = random.random_bool(QUOTED);
    let mut left: usize = passage.iter().map(|sentence| sentence.words).sum();
    asking.truncate(ASKING);
    asking.retain(|&at| {
        let less = left - passage[at].words;
        let stays = is_quoted || less >= LEFT_WORDS_MIN;
        left = if stays { less } else { left };
        stays
    });
    let mut queries: Vec<String> = asking.iter().map(|&at| plain([&passage[at]])).collect();
    let first = queries.first().cloned();
    if let Some(sentence) = &first
        && random.random_bool(PIECE)
    {
        queries.push(piece(sentence, random));
    }
    let is_left = |at: &usize| is_quoted || !asking.contains(at);
    let mut positive = plain((0..passage.len()).filter(is_left).map(|at| &passage[at]));
    if !heading.is_empty() {
        if random.random_bool(HEADING_ASKS) {
            queries.push(heading.to_owned());
        } else if random.random_bool(HEADING_IN_FRONT) {
            positive = format!("{heading}. {positive}");
        }
    }
    (Asked { positive, queries }, first.filter(|_| !is_quoted))
}

/// A few words in a row, as people type them.
fn piece(sentence: &str, random: &mut impl Rng) -> String {
    let words: Vec<&str> = sentence.split_whitespace().collect();
    let length = random.random_range(PIECE_WORDS).min(words.len());
    let start = random.random_range(0..=words.len() - length);
    let piece = words[start..start + length].join(" ").to_lowercase();
    piece.trim_matches(&['.', ',', ';', ':', '(', ')'][..]).to_owned()
}

/// The first sentences of a text that are about `words` words together. Texts that are only a little longer stay
/// whole, and so does one in ten of the others.
pub(super) fn cut(text: &str, words: usize, random: &mut impl Rng) -> String {
    let sentences = sentences(text);
    let stays = random.random_bool(WHOLE);
    let whole: usize = sentences.iter().map(|sentence| sentence.words).sum();
    if stays || 4 * whole <= 5 * words {
        return text.to_owned();
    }
    let mut length = 0;
    let is_within = |sentence: &&Sentence<'_>| {
        let is_first = length == 0;
        length += sentence.words;
        is_first || length <= words
    };
    plain(sentences.iter().take_while(is_within))
}

/// Words without a full stop among them.
struct Sentence<'a> {
    text: &'a str,
    words: usize,
    /// Whether a line of the text ends there.
    ends_paragraph: bool,
}

/// The text in pieces that end with a full stop, a question or an exclamation mark before white space, or when they
/// are as long as no sentence is.
fn sentences(text: &str) -> Vec<Sentence<'_>> {
    let mut sentences = Vec::new();
    let (mut start, mut words, mut before) = (0, 0, ' ');
    for (at, character) in text.char_indices() {
        if character.is_whitespace() && !before.is_whitespace() {
            words += 1;
            if matches!(before, '.' | '!' | '?') || words == LONGEST_WORDS {
                sentences.push(Sentence {
                    text: text[start..at].trim(),
                    words,
                    ends_paragraph: matches!(character, '\n' | '\r'),
                });
                (start, words) = (at, 0);
            }
        }
        before = character;
    }
    words += usize::from(!before.is_whitespace());
    if words > 0 {
        sentences.push(Sentence {
            text: text[start..].trim(),
            words,
            ends_paragraph: true,
        });
    }
    sentences
}

/// Sentences in a row, a space between words.
fn plain<'a>(sentences: impl IntoIterator<Item = &'a Sentence<'a>>) -> String {
    let words = sentences
        .into_iter()
        .flat_map(|sentence| sentence.text.split_whitespace());
    words.collect::<Vec<_>>().join(" ")
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
    use crate::texts::Section;

    fn count(text: &str) -> usize {
        text.split_whitespace().count()
    }

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
        let texts = |text| {
            let sentences = sentences(text).into_iter();
            let parts =
                sentences.map(|sentence| (plain([&sentence]), sentence.words, sentence.ends_paragraph));
            parts.collect::<Vec<_>>()
        };
        let found = texts("Version 1.2 is\nout. Is it?\n Yes! ");
        let expected = [
            ("Version 1.2 is out.", 4, false),
            ("Is it?", 2, true),
            ("Yes!", 1, false),
        ];
        assert_eq!(
            found,
            expected.map(|(text, words, ends)| (text.to_owned(), words, ends))
        );
        assert!(texts(" \n ").is_empty());
        let list: Vec<usize> = texts(&"word ".repeat(250))
            .into_iter()
            .map(|(_, words, _)| words)
            .collect();
        assert_eq!(list, [100, 100, 50]);
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
            lengths.contains(&100) && lengths.iter().all(|n| [100, 300].contains(n)),
            "{lengths:?}"
        );
        assert_eq!(count(&cut(&text(60), 50, &mut random::stream(1, "test", 0))), 60);
    }

    #[test]
    fn every_sentence_is_in_one_passage() {
        let paragraphs = [text(2000), part(2000, 12), part(2012, 700), part(2712, 4)];
        let text = paragraphs.join("\n");
        let sentences = sentences(&text);
        for number in 0..50 {
            let passages = split(&sentences, &mut random::stream(4, "test", number));
            let lengths: Vec<usize> = passages
                .iter()
                .map(|passage| passage.iter().map(|sentence| sentence.words).sum())
                .collect();
            assert!(
                lengths.iter().all(|words| PASSAGE_WORDS.contains(words)),
                "{lengths:?}"
            );
            assert_eq!(plain(passages.into_iter().flatten()), plain(&sentences));
        }
        let short = super::sentences("One sentence that is too short for a passage.");
        assert!(split(&short, &mut random::stream(4, "test", 0)).is_empty());
    }

    #[test]
    fn passages_are_asked_for_by_their_own_words_their_heading_and_the_passage_before() {
        let section = |heading: &str, start: usize| Section {
            heading: heading.into(),
            paragraphs: (0..400).map(|number| part(start + 30 * number, 30)).collect(),
        };
        let document = Document {
            title: "Title".into(),
            sections: vec![section("One", 0), section("", 20_000)],
            ..Document::default()
        };
        let passages = passages(&document, &mut random::stream(3, "test", 0));
        let lengths: std::collections::HashSet<usize> = passages.iter().map(|p| count(&p.positive)).collect();
        assert!(lengths.len() > 2 && passages.len() > 8, "{lengths:?}");
        /// The first number of a text, of which none comes twice.
        fn number(text: &str) -> Option<usize> {
            text.split_whitespace()
                .find_map(|word| word.trim_end_matches('.').strip_prefix('w')?.parse().ok())
        }
        let is_heading = |query: &str| ["Title: One", "Title"].contains(&query);
        let (mut quoted, mut asked, mut in_front, mut of_the_one_before) = (0, 0, 0, 0);
        for (at, Asked { positive, queries }) in passages.iter().enumerate() {
            let first = number(positive).unwrap_or_default();
            assert!(count(positive) >= LEFT_WORDS_MIN);
            asked += usize::from(queries.iter().any(|query| is_heading(query)));
            in_front += usize::from(positive.starts_with("Title"));
            quoted += usize::from(queries.iter().any(|query| positive.contains(query)));
            for query in queries.iter().filter(|query| !is_heading(query)) {
                assert!(SENTENCE_WORDS.contains(&count(query)) || PIECE_WORDS.contains(&count(query)));
                let own = number(query).unwrap_or_default();
                let is_before = at > 0 && passages[at - 1].queries.contains(query);
                assert!(own.abs_diff(first) < 500, "{query}: {positive}");
                of_the_one_before += usize::from(is_before);
            }
            // Nothing goes on from one section to the next.
            if at > 0 && first >= 20_000 && number(&passages[at - 1].positive) < Some(20_000) {
                assert!(
                    queries
                        .iter()
                        .all(|query| number(query) >= Some(19_970) || is_heading(query))
                );
            }
        }
        let all = passages.len();
        assert!(quoted > 0 && 5 * quoted < all, "{quoted} of {all}");
        assert!(3 * asked > all && 8 * in_front > all, "{asked} {in_front}");
        assert!(
            4 * of_the_one_before > all && 2 * of_the_one_before < all,
            "{of_the_one_before} of {all}"
        );
    }
}
