//! Questions without an answer, made from those that have one: the question with another paragraph of the same
//! article that has none of its answers, so that it is about the same things (as a cheap form of the unanswerable
//! questions of Rajpurkar et al. 2018, which people wrote).

use std::collections::{HashMap, HashSet};

use rand::Rng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::questions::{Question, Questions};
use crate::random;

/// Questions, as numbers, each with another paragraph.
///
/// About `share` of the answerable questions are drawn, each at most once, or as many as have such a paragraph; of
/// them the share `near` gets the paragraph that has most of the question's rare words.
pub(super) fn made(all: &Questions, share: f64, near: f64, seed: u64) -> Vec<(usize, usize)> {
    let mut random = random::stream(seed, "questions without an answer", 0);
    let (order, wanted) = drawn(all, share, &mut random);
    let mut words: HashMap<usize, Words> = HashMap::new();
    let mut made = Vec::new();
    for at in order {
        if made.len() == wanted {
            break;
        }
        let question = &all.questions[at];
        let others = without_answer(all, question);
        let article = all.contexts[question.context].article;
        let chosen = if random.random_bool(near) {
            let words = words.entry(article).or_insert_with(|| Words::of(all, article));
            words.nearest(&question.ids, &others)
        } else {
            others.choose(&mut random).copied()
        };
        made.extend(chosen.map(|context| (at, context)));
    }
    made
}

/// The answerable questions in a random order, and how many of them the share is.
pub(super) fn drawn(all: &Questions, share: f64, random: &mut impl Rng) -> (Vec<usize>, usize) {
    let is_answerable = |&at: &usize| all.questions[at].tokens.is_some();
    let mut order: Vec<usize> = (0..all.questions.len()).filter(is_answerable).collect();
    let wanted = (order.len() as f64 * share).round() as usize;
    order.shuffle(random);
    (order, wanted)
}

/// The other paragraphs of a question's article that have none of its answers.
fn without_answer(all: &Questions, question: &Question) -> Vec<usize> {
    let article = all.articles[all.contexts[question.context].article].clone();
    let answers: Vec<String> = question
        .answers
        .iter()
        .map(|answer| answer.to_lowercase())
        .collect();
    article
        .filter(|&context| context != question.context)
        .filter(|&context| {
            let text = all.contexts[context].text.to_lowercase();
            answers.iter().all(|answer| !text.contains(answer.as_str()))
        })
        .collect()
}

/// The words of an article's paragraphs, and how rare each is there.
struct Words {
    first: usize,
    paragraphs: Vec<HashSet<u32>>,
    /// `log(paragraphs / paragraphs with the word)`.
    rarity: HashMap<u32, f64>,
}

impl Words {
    fn of(all: &Questions, article: usize) -> Self {
        let range = all.articles[article].clone();
        let paragraphs: Vec<HashSet<u32>> = all.contexts[range.clone()]
            .iter()
            .map(|context| context.pieces.ids.iter().copied().collect())
            .collect();
        let mut rarity: HashMap<u32, f64> = HashMap::new();
        for word in paragraphs.iter().flatten() {
            *rarity.entry(*word).or_default() += 1.0;
        }
        let count = paragraphs.len() as f64;
        rarity.values_mut().for_each(|with| *with = (count / *with).ln());
        Self {
            first: range.start,
            paragraphs,
            rarity,
        }
    }

    /// Of these paragraphs the one that shares most with the question; the first of equal ones.
    fn nearest(&self, question: &[u32], among: &[usize]) -> Option<usize> {
        let asked: HashSet<u32> = question.iter().copied().collect();
        let shared = |context: usize| -> f64 {
            let words = &self.paragraphs[context - self.first];
            // In the question's order, so that the sum is always the same.
            let mut seen = HashSet::new();
            let once = question
                .iter()
                .filter(|word| asked.contains(word) && seen.insert(**word));
            once.filter(|word| words.contains(word))
                .map(|word| self.rarity.get(word).copied().unwrap_or(0.0))
                .sum()
        };
        let mut best: Option<(f64, usize)> = None;
        for &context in among {
            let shared = shared(context);
            if best.is_none_or(|(most, _)| shared > most) {
                best = Some((shared, context));
            }
        }
        best.map(|(_, context)| context)
    }
}

#[cfg(test)]
mod tests {
    use super::super::questions::Context;
    use super::*;
    use text::Pieces;

    fn context(text: &str, ids: &[u32]) -> Context {
        Context {
            text: text.to_owned(),
            pieces: Pieces {
                ids: ids.to_vec(),
                spans: vec![(0, 1); ids.len()],
            },
            article: 0,
        }
    }

    fn set() -> Questions {
        let question = |context: usize, answer: &str, ids: &[u32]| Question {
            id: String::new(),
            text: String::new(),
            ids: ids.to_vec(),
            context,
            answers: vec![answer.to_owned()],
            tokens: Some(0..1),
        };
        Questions {
            contexts: vec![
                context("Rome has burned", &[1, 2, 9]),
                context("in rome and paris", &[3, 4, 9]),
                context("a cat", &[5, 9]),
                context("a dog in a tree", &[5, 6, 7, 9]),
            ],
            questions: vec![
                question(0, "Rome", &[6, 9]),
                question(2, "a", &[9]),
                question(3, "dog", &[1, 9]),
            ],
            articles: std::iter::once(0..4).collect(),
        }
    }

    #[test]
    fn the_paragraph_never_has_an_answer_and_is_never_its_own() {
        let set = set();
        for seed in 0..50 {
            let made = made(&set, 1.0, 0.5, seed);
            // Of the question that "a" answers no paragraph is without it.
            assert_eq!(made.len(), 2, "{made:?}");
            for (question, context) in made {
                assert!([(0, 2), (0, 3), (2, 0), (2, 1), (2, 2)].contains(&(question, context)));
            }
        }
        assert!(made(&set, 0.0, 0.5, 1).is_empty());
        assert_eq!(made(&set, 0.34, 0.5, 1).len(), 1);
    }

    #[test]
    fn the_nearest_paragraph_shares_the_rare_words() {
        let mut made = made(&set(), 1.0, 1.0, 3);
        made.sort_unstable();
        assert_eq!(made, [(0, 3), (2, 0)]);
    }
}
