//! Entity F1 over BIO tags: an entity counts when its type and both its ends are right.
//!
//! The rule of conlleval (Tjong Kim Sang and De Meulder 2003), also seqeval's default: `B-X` begins an entity;
//! `I-X` continues one of type X and begins one after `O` or after another type. So both IOB1 and IOB2 are
//! read, and a stray `I-X` is an entity.

use std::collections::BTreeMap;

use crate::MeasureError;
use crate::classification::Scores;

/// A tagged stretch of tokens: `start..end`, in tokens of its sentence.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// The type, as it stands after `B-` or `I-`.
    pub kind: String,
    /// First token.
    pub start: usize,
    /// One past the last token.
    pub end: usize,
}

/// Entity scores over all sentences.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityScores {
    /// Over all entities, whatever their type: the figure that is meant by "NER F1".
    pub micro: Scores,
    /// Per type.
    pub kinds: BTreeMap<String, Scores>,
}

/// The entities of one sentence, from one tag per token.
///
/// # Errors
/// [`MeasureError::Tag`] for a tag that is neither `O` nor `B-TYPE` nor `I-TYPE`.
pub fn entities<T: AsRef<str>>(tags: &[T]) -> Result<Vec<Entity>, MeasureError> {
    let mut found: Vec<Entity> = Vec::new();
    for (position, tag) in tags.iter().enumerate() {
        let Some((begins, kind)) = parse(position, tag.as_ref())? else {
            continue;
        };
        match found.last_mut() {
            Some(open) if !begins && open.end == position && open.kind == kind => open.end += 1,
            _ => found.push(Entity {
                kind: kind.to_owned(),
                start: position,
                end: position + 1,
            }),
        }
    }
    Ok(found)
}

/// Whether the tag begins an entity by itself, and its type; `None` for `O`.
fn parse(position: usize, tag: &str) -> Result<Option<(bool, &str)>, MeasureError> {
    match tag.split_once('-') {
        Some(("B", kind)) if !kind.is_empty() => Ok(Some((true, kind))),
        Some(("I", kind)) if !kind.is_empty() => Ok(Some((false, kind))),
        None if tag == "O" => Ok(None),
        _ => Err(MeasureError::Tag {
            position,
            tag: tag.to_owned(),
        }),
    }
}

/// Compares the predicted tags of each sentence with its gold tags.
///
/// # Errors
/// [`MeasureError::Lengths`] when the numbers of sentences, or of tags in one, differ; [`MeasureError::Tag`].
pub fn entity_scores<T: AsRef<str>>(
    gold: &[Vec<T>],
    predicted: &[Vec<T>],
) -> Result<EntityScores, MeasureError> {
    if gold.len() != predicted.len() {
        return Err(MeasureError::Lengths {
            left: gold.len(),
            right: predicted.len(),
        });
    }
    // Per type: right, predicted, gold.
    let mut counts: BTreeMap<String, [usize; 3]> = BTreeMap::new();
    for (gold, predicted) in gold.iter().zip(predicted) {
        if gold.len() != predicted.len() {
            return Err(MeasureError::Lengths {
                left: gold.len(),
                right: predicted.len(),
            });
        }
        let (gold, predicted) = (entities(gold)?, entities(predicted)?);
        for entity in &predicted {
            let count = counts.entry(entity.kind.clone()).or_default();
            count[0] += usize::from(gold.contains(entity));
            count[1] += 1;
        }
        for entity in gold {
            counts.entry(entity.kind).or_default()[2] += 1;
        }
    }
    let total = |place: usize| counts.values().map(|count| count[place]).sum();
    let micro = Scores::from_counts(total(0), total(1), total(2));
    let scores = |count: [usize; 3]| Scores::from_counts(count[0], count[1], count[2]);
    Ok(EntityScores {
        micro,
        kinds: counts
            .into_iter()
            .map(|(kind, count)| (kind, scores(count)))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn spans(tags: &str) -> Vec<(String, usize, usize)> {
        let tags: Vec<&str> = tags.split(' ').collect();
        entities(&tags)
            .unwrap()
            .into_iter()
            .map(|entity| (entity.kind, entity.start, entity.end))
            .collect()
    }

    #[test]
    fn both_bio_dialects_and_stray_tags_are_read() {
        let expected = [
            ("PER".to_owned(), 0, 2),
            ("PER".to_owned(), 2, 3),
            ("LOC".to_owned(), 3, 4),
        ];
        assert_eq!(spans("I-PER I-PER B-PER I-LOC"), expected);
        assert_eq!(
            spans("O I-X-Y O I-X-Y"),
            [("X-Y".to_owned(), 1, 2), ("X-Y".to_owned(), 3, 4)]
        );
    }

    #[test]
    fn refuses_what_is_not_bio() {
        for tag in ["", "B", "B-", "E-PER", "PER", "o", "O-PER"] {
            assert!(entities(&["O", tag]).is_err(), "{tag:?}");
        }
        assert!(entity_scores(&[vec!["O"]], &[vec!["O", "O"]]).is_err());
    }
}
