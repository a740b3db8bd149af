//! Questions without an answer, made by changing one thing in a question that has one: a name or a number of its
//! paragraph becomes another one of the same article, or a word becomes its opposite. What the new question asks about
//! does not stand in the paragraph, though all its other words still do (after the rules of Jia and Liang 2017, which
//! Rajpurkar et al. 2018 compared with questions that people wrote).

use std::collections::HashMap;
use std::ops::Range;

use rand::Rng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::questions::Questions;
use super::unanswerable::drawn;
use crate::random;

/// Questions, as numbers, each with its changed text.
///
/// About `share` of the answerable questions are drawn, each at most once, or as many as have something to change.
pub(super) fn altered(all: &Questions, share: f64, seed: u64) -> Vec<(usize, String)> {
    let mut random = random::stream(seed, "altered questions", 0);
    let (order, wanted) = drawn(all, share, &mut random);
    let mut stocks: HashMap<usize, Stock> = HashMap::new();
    let mut made = Vec::new();
    for at in order {
        if made.len() == wanted {
            break;
        }
        let question = &all.questions[at];
        let context = &all.contexts[question.context];
        let stock = stocks.entry(context.article).or_insert_with(|| {
            let texts = &all.contexts[all.articles[context.article].clone()];
            Stock::of(texts.iter().map(|context| context.text.as_str()))
        });
        let text = stock.alter(&question.text, &context.text, &mut random);
        made.extend(text.map(|text| (at, text)));
    }
    made
}

/// How many names are tried until one stands neither in the paragraph nor in the question.
const TRIES: usize = 20;

/// A place in a question, in bytes, and what could stand there instead.
type Change<'a> = (Range<usize>, Vec<&'a str>);

/// The names and numbers of an article, each once.
#[derive(Default)]
struct Stock {
    names: Vec<String>,
    numbers: Vec<String>,
}

impl Stock {
    fn of<'t>(texts: impl Iterator<Item = &'t str>) -> Self {
        let mut stock = Self::default();
        for text in texts {
            let words = words(text);
            let numbers = words.iter().filter(|word| is_number(&text[(*word).clone()]));
            stock
                .numbers
                .extend(numbers.map(|word| text[word.clone()].to_owned()));
            let names = names(text, &words).into_iter();
            stock.names.extend(names.map(|name| text[name].to_owned()));
        }
        for list in [&mut stock.names, &mut stock.numbers] {
            list.sort_unstable();
            list.dedup();
        }
        stock
    }

    /// The question with one thing changed, so that its paragraph no longer answers it.
    fn alter(&self, question: &str, paragraph: &str, random: &mut impl Rng) -> Option<String> {
        let (asked, told) = (Folded::new(question), Folded::new(paragraph));
        let mut changes = self.changes(question, &told);
        changes.shuffle(random);
        changes.into_iter().find_map(|(place, others)| {
            let mut some = others.choose_multiple(random, TRIES);
            let other = some.find(|other| !told.has(other) && !asked.has(other))?;
            let mut text = question.to_owned();
            text.replace_range(place, other);
            Some(text)
        })
    }

    /// What can be changed: names and numbers that the paragraph has too, and words that have an opposite.
    fn changes(&self, question: &str, told: &Folded) -> Vec<Change<'_>> {
        let words = words(question);
        let numbers = words.iter().filter(|word| is_number(&question[(*word).clone()]));
        let numbers = numbers.map(|place| {
            let alike = |other: &&String| shape(other).eq(shape(&question[place.clone()]));
            (place.clone(), self.numbers.iter().filter(alike).collect())
        });
        let names = names(question, &words).into_iter();
        let names = names.map(|place| (place, self.names.iter().collect()));
        let of_article = numbers
            .chain(names)
            .filter(|(place, _)| told.has(&question[place.clone()]))
            .map(|(place, others): (_, Vec<&String>)| {
                (place, others.into_iter().map(String::as_str).collect())
            });
        let opposites = words.iter().map(|place| {
            let others = opposites(&question[place.clone()]);
            (place.clone(), others.collect())
        });
        of_article
            .chain(opposites)
            .filter(|(_, others): &Change<'_>| !others.is_empty())
            .collect()
    }
}

/// A text in which words are looked for, whatever their case.
struct Folded(String);

impl Folded {
    fn new(text: &str) -> Self {
        Self(text.to_lowercase())
    }

    /// Whether these words stand there, whole and in this order.
    fn has(&self, words: &str) -> bool {
        let words = words.to_lowercase();
        let whole = |(at, _): (usize, &str)| {
            let before = self.0[..at].chars().next_back();
            let after = self.0[at + words.len()..].chars().next();
            ![before, after].into_iter().flatten().any(char::is_alphanumeric)
        };
        self.0.match_indices(&words).any(whole)
    }
}

/// The words of a text, in bytes: letters and digits, and the marks that stand between two of them ("1,000", "U.S").
fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut joins = false;
    for (at, char) in text.char_indices() {
        if char.is_alphanumeric() {
            match words.last_mut() {
                Some(word) if joins || word.end == at => word.end = at + char.len_utf8(),
                _ => words.push(at..at + char.len_utf8()),
            }
            joins = false;
        } else {
            let follows = words.last().is_some_and(|word| word.end == at);
            joins = follows && matches!(char, ',' | '.' | '-' | '–' | '\'' | '’');
        }
    }
    words
}

fn is_number(word: &str) -> bool {
    word.starts_with(|char: char| char.is_ascii_digit())
}

/// A number with all its digits alike: "1,998" and "2,005" have one shape.
fn shape(number: &str) -> impl Iterator<Item = char> {
    number
        .chars()
        .map(|char| if char.is_ascii_digit() { '0' } else { char })
}

/// Words in a row that begin with a capital, though no sentence begins with them.
fn names(text: &str, words: &[Range<usize>]) -> Vec<Range<usize>> {
    let mut names: Vec<Range<usize>> = Vec::new();
    for word in words {
        let is_capital = text[word.clone()].starts_with(char::is_uppercase) && word.len() > 1;
        let before = &text[..word.start];
        match names.last_mut() {
            Some(name) if is_capital && name.end + 1 == word.start && before.ends_with(' ') => {
                name.end = word.end;
            }
            _ if is_capital && !begins_sentence(before) => names.push(word.clone()),
            _ => {}
        }
    }
    names
}

fn begins_sentence(before: &str) -> bool {
    let before = before.trim_end_matches(|char: char| char.is_whitespace() || "\"'“”‘’(".contains(char));
    before.is_empty() || before.ends_with(['.', '?', '!', ':', ';'])
}

/// English words and what is asked when they are turned round.
#[rustfmt::skip]
const OPPOSITES: [(&str, &str); 56] = [
    ("first", "last"), ("largest", "smallest"), ("biggest", "smallest"), ("highest", "lowest"), ("most", "least"),
    ("longest", "shortest"), ("oldest", "newest"), ("earliest", "latest"), ("best", "worst"),
    ("strongest", "weakest"), ("fastest", "slowest"), ("greatest", "least"), ("maximum", "minimum"),
    ("larger", "smaller"), ("higher", "lower"), ("longer", "shorter"), ("older", "newer"), ("earlier", "later"),
    ("better", "worse"), ("more", "less"), ("upper", "lower"), ("before", "after"), ("north", "south"),
    ("east", "west"), ("northern", "southern"), ("eastern", "western"), ("early", "late"), ("old", "new"),
    ("large", "small"), ("major", "minor"), ("long", "short"), ("strong", "weak"), ("public", "private"),
    ("positive", "negative"), ("internal", "external"), ("legal", "illegal"), ("male", "female"), ("men", "women"),
    ("increase", "decrease"), ("increased", "decreased"), ("won", "lost"), ("win", "lose"), ("began", "ended"),
    ("begin", "end"), ("started", "stopped"), ("start", "stop"), ("allowed", "forbidden"),
    ("accepted", "rejected"), ("supported", "opposed"), ("support", "oppose"), ("agreed", "refused"),
    ("joined", "left"), ("gained", "lost"), ("built", "destroyed"), ("above", "below"), ("inside", "outside"),
];

/// Of a word in small letters: others may be part of a name.
fn opposites(word: &str) -> impl Iterator<Item = &'static str> {
    OPPOSITES.iter().filter_map(move |&(one, other)| {
        let turned = (word == one).then_some(other);
        turned.or((word == other).then_some(one))
    })
}

#[cfg(test)]
#[path = "altered_tests.rs"]
mod tests;
