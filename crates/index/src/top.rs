//! The best of many candidates, exact about equal scores.

use std::cmp::Ordering;

use corpus::{PassageRef, Scored, StoreError};

/// A row of one of a snapshot's segments, with its score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) part: u32,
    pub(crate) row: u32,
    pub(crate) score: f32,
}

impl Candidate {
    pub(crate) fn passage(&self) -> PassageRef {
        PassageRef(u64::from(self.part) << 32 | u64::from(self.row))
    }
}

/// Segment and row of a reference.
pub(crate) fn split(passage: PassageRef) -> (usize, u32) {
    ((passage.0 >> 32) as usize, passage.0 as u32)
}

/// The `k` best, greatest score first; equal scores in the order of their names, which are asked for only then.
pub(crate) fn best<Name: Ord>(
    mut candidates: Vec<Candidate>,
    k: usize,
    name: impl Fn(&Candidate) -> Result<Name, StoreError>,
) -> Result<Vec<Scored>, StoreError> {
    if k == 0 {
        return Ok(Vec::new());
    }
    let by_score = |a: &Candidate, b: &Candidate| b.score.total_cmp(&a.score);
    if candidates.len() > k {
        let (_, last, _) = candidates.select_nth_unstable_by(k - 1, by_score);
        let last = last.score;
        candidates.retain(|candidate| candidate.score.total_cmp(&last) != Ordering::Less);
    }
    candidates.sort_unstable_by(by_score);
    for equal in candidates.chunk_by_mut(|a, b| by_score(a, b).is_eq()) {
        if equal.len() > 1 {
            let mut named = equal
                .iter()
                .map(|one| Ok((name(one)?, *one)))
                .collect::<Result<Vec<_>, StoreError>>()?;
            named.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (slot, (_, candidate)) in equal.iter_mut().zip(named) {
                *slot = candidate;
            }
        }
    }
    candidates.truncate(k);
    let scored = candidates.iter().map(|c| Scored {
        passage: c.passage(),
        score: c.score,
    });
    Ok(scored.collect())
}
