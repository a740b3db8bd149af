//! Making one list of two.
//!
//! Whatever the method, a passage's score is `weight * value`, summed over the lists that hold it, where the
//! value is a normalised score ([`weighted`]) or a reciprocal rank ([`rrf`]). Every passage has a cosine, also one
//! that only the lexical list holds; weighted sums count it as they count those of the dense list.

pub mod rrf;
pub mod weighted;

use std::collections::{HashMap, HashSet};

use corpus::{PassageRef, Scored};

use crate::{Fusion, FusionPart, Mode};

/// A passage's place in one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// From 1; none for a passage that the list does not hold, though its score is known.
    pub rank: Option<usize>,
    /// The list's own score.
    pub score: f32,
    /// What it adds to the fused score.
    pub part: FusionPart,
}

/// A passage of at least one list.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fused {
    /// Which passage.
    pub passage: PassageRef,
    /// The sum of its parts.
    pub score: f32,
    /// Its place in the lexical list.
    pub lexical: Option<Place>,
    /// Its place in the dense list, or its cosine where that counts.
    pub dense: Option<Place>,
}

impl Fused {
    /// Puts another value in the place of the dense list's.
    pub(crate) fn revalue_dense(&mut self, value: f32) {
        let Some(place) = &mut self.dense else { return };
        place.part.value = value;
        place.part.contribution = place.part.weight * value;
        let lexical = self.lexical.map_or(0.0, |place| place.part.contribution);
        self.score = lexical + place.part.contribution;
    }
}

/// The passages of the lexical list whose cosines a fusion has to know besides those of the dense list.
pub fn unmeasured(mode: Mode, fusion: &Fusion, lexical: &[Scored], dense: &[Scored]) -> Vec<PassageRef> {
    if mode != Mode::Hybrid || !matches!(fusion, Fusion::Weighted { .. }) {
        return Vec::new();
    }
    let measured: HashSet<PassageRef> = dense.iter().map(|scored| scored.passage).collect();
    let passages = lexical.iter().map(|scored| scored.passage);
    passages.filter(|passage| !measured.contains(passage)).collect()
}

/// Puts both lists together: every passage once, in no order worth relying on. In a mode of one list, that
/// list's scores stay as they are. `beyond` has the cosines of what is [`unmeasured`].
pub fn fuse(
    mode: Mode,
    fusion: &Fusion,
    lexical: &[Scored],
    dense: &[Scored],
    beyond: &[Scored],
) -> Vec<Fused> {
    let (lexical, dense) = (
        places(lexical, &[], mode, fusion, lexical_weight),
        places(dense, beyond, mode, fusion, dense_weight),
    );
    let mut fused: Vec<Fused> = Vec::with_capacity(lexical.len() + dense.len());
    let mut position = HashMap::with_capacity(lexical.len());
    for (passage, place) in lexical {
        position.insert(passage, fused.len());
        fused.push(Fused {
            passage,
            score: place.part.contribution,
            lexical: Some(place),
            dense: None,
        });
    }
    for (passage, place) in dense {
        match position.get(&passage) {
            Some(&at) => {
                fused[at].score += place.part.contribution;
                fused[at].dense = Some(place);
            }
            None => fused.push(Fused {
                passage,
                score: place.part.contribution,
                lexical: None,
                dense: Some(place),
            }),
        }
    }
    fused
}

/// The weight of the lexical list in a fusion.
pub(crate) fn lexical_weight(fusion: &Fusion) -> f32 {
    match *fusion {
        Fusion::Weighted { lexical, .. } => lexical,
        Fusion::Rrf { .. } => 1.0,
    }
}

/// The weight of the dense list in a fusion.
pub(crate) fn dense_weight(fusion: &Fusion) -> f32 {
    match *fusion {
        Fusion::Weighted { dense, .. } => dense,
        Fusion::Rrf { .. } => 1.0,
    }
}

fn places(
    list: &[Scored],
    beyond: &[Scored],
    mode: Mode,
    fusion: &Fusion,
    weight: fn(&Fusion) -> f32,
) -> Vec<(PassageRef, Place)> {
    let all = || list.iter().chain(beyond);
    let scores: Vec<f32> = all().map(|scored| scored.score).collect();
    let (weight, values) = match (mode, fusion) {
        (Mode::Lexical | Mode::Dense, _) => (1.0, scores),
        (Mode::Hybrid, Fusion::Weighted { .. }) => (weight(fusion), weighted::min_max(&scores)),
        (Mode::Hybrid, Fusion::Rrf { k }) => (weight(fusion), rrf::reciprocal_ranks(list.len(), *k)),
    };
    let place = |((i, scored), value): ((usize, &Scored), f32)| {
        let part = FusionPart {
            weight,
            value,
            contribution: weight * value,
        };
        let place = Place {
            rank: (i < list.len()).then_some(i + 1),
            score: scored.score,
            part,
        };
        (scored.passage, place)
    };
    all().enumerate().zip(values).map(place).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    fn list(entries: &[(u64, f32)]) -> Vec<Scored> {
        let scored = |&(passage, score): &(u64, f32)| Scored {
            passage: PassageRef(passage),
            score,
        };
        entries.iter().map(scored).collect()
    }

    fn scores(fused: &[Fused]) -> Vec<(u64, f32)> {
        let mut scores: Vec<_> = fused.iter().map(|one| (one.passage.0, one.score)).collect();
        scores.sort_by_key(|&(passage, _)| passage);
        scores
    }

    #[test]
    fn weighted_by_hand() {
        let lexical = list(&[(1, 10.0), (2, 6.0), (3, 2.0)]);
        let dense = list(&[(3, 0.75), (1, 0.5), (4, 0.25)]);
        let fusion = Fusion::Weighted {
            lexical: 0.5,
            dense: 0.5,
            feedback: 0.3,
        };
        assert_eq!(
            unmeasured(Mode::Hybrid, &fusion, &lexical, &dense),
            [PassageRef(2)]
        );
        let fused = fuse(Mode::Hybrid, &fusion, &lexical, &dense, &list(&[(2, 0.0)]));
        // lexical: 1, 1/2, 0; dense: 2/3, 0, 1, 1/3; each halved.
        let expected = [(1, 5.0 / 6.0), (2, 0.25), (3, 0.5), (4, 1.0 / 6.0)];
        for ((passage, score), (expected, by_hand)) in scores(&fused).into_iter().zip(expected) {
            assert_eq!(passage, expected);
            assert!((score - by_hand).abs() < 1e-6, "{passage} {score}");
        }
        let dense = fused
            .iter()
            .map(|one| (one.passage.0, one.dense.and_then(|place| place.rank)));
        let ranks: BTreeMap<u64, Option<usize>> = dense.collect();
        assert_eq!(
            ranks,
            BTreeMap::from([(1, Some(2)), (2, None), (3, Some(1)), (4, Some(3))])
        );
    }

    #[test]
    fn reciprocal_ranks_by_hand() {
        let lexical = list(&[(1, 10.0), (2, 6.0)]);
        let dense = list(&[(2, 0.9), (3, 0.1)]);
        let fusion = Fusion::Rrf { k: 60 };
        assert!(unmeasured(Mode::Hybrid, &fusion, &lexical, &dense).is_empty());
        let fused = fuse(Mode::Hybrid, &fusion, &lexical, &dense, &[]);
        let expected = [(1, 1.0 / 61.0), (2, 1.0 / 62.0 + 1.0 / 61.0), (3, 1.0 / 62.0)];
        assert_eq!(scores(&fused), expected);
    }

    #[test]
    fn one_list_keeps_its_scores() {
        let lexical = list(&[(1, 10.0), (2, 6.0)]);
        let fusion = Fusion::default();
        assert!(unmeasured(Mode::Lexical, &fusion, &lexical, &[]).is_empty());
        let fused = fuse(Mode::Lexical, &fusion, &lexical, &[], &[]);
        assert_eq!(scores(&fused), [(1, 10.0), (2, 6.0)]);
        assert_eq!(fused[1].lexical.and_then(|place| place.rank), Some(2));
        assert!(fuse(Mode::Hybrid, &fusion, &[], &[], &[]).is_empty());
    }

    /// The definition, one passage at a time.
    fn naive(fusion: &Fusion, lists: [&[Scored]; 2], passage: PassageRef) -> f32 {
        let mut sum = 0.0;
        for (i, list) in lists.into_iter().enumerate() {
            let Some(at) = list.iter().position(|scored| scored.passage == passage) else {
                continue;
            };
            let all = list.iter().map(|scored| scored.score);
            let (least, most) = (
                all.clone().fold(f32::INFINITY, f32::min),
                all.fold(f32::NEG_INFINITY, f32::max),
            );
            sum += match *fusion {
                Fusion::Rrf { k } => 1.0 / (k as f32 + at as f32 + 1.0),
                Fusion::Weighted { lexical, dense, .. } => {
                    let weight = [lexical, dense][i];
                    weight
                        * if most > least {
                            (list[at].score - least) / (most - least)
                        } else {
                            1.0
                        }
                }
            };
        }
        sum
    }

    fn any_list() -> impl Strategy<Value = Vec<Scored>> {
        // Few different scores, so that ties and lists of equal scores occur.
        prop::collection::btree_map(0u64..30, -3i8..4, 0..20).prop_map(|entries| {
            let mut list: Vec<(u64, f32)> = entries.into_iter().map(|(p, s)| (p, f32::from(s))).collect();
            list.sort_by(|a, b| b.1.total_cmp(&a.1));
            self::list(&list)
        })
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(
            lexical in any_list(), dense in any_list(), k in 1u32..100, weights in (0.0f32..2.0, 0.0f32..2.0),
        ) {
            let weighted = Fusion::Weighted { lexical: weights.0, dense: weights.1, feedback: 0.3 };
            for fusion in [Fusion::Rrf { k }, weighted] {
                let beyond = unmeasured(Mode::Hybrid, &fusion, &lexical, &dense);
                let cosine = |passage: PassageRef| Scored { passage, score: (passage.0 % 5) as f32 - 3.0 };
                let beyond: Vec<Scored> = beyond.into_iter().map(cosine).collect();
                let fused = fuse(Mode::Hybrid, &fusion, &lexical, &dense, &beyond);
                let dense: Vec<Scored> = dense.iter().chain(&beyond).copied().collect();
                let mut passages: Vec<_> = lexical.iter().chain(&dense).map(|s| s.passage).collect();
                passages.sort_unstable();
                passages.dedup();
                prop_assert_eq!(fused.len(), passages.len());
                for one in fused {
                    let expected = naive(&fusion, [&lexical, &dense], one.passage);
                    prop_assert!((one.score - expected).abs() < 1e-6, "{} {}", one.score, expected);
                }
            }
        }
    }
}
