//! Keeping the number of segments small: which to merge, and merging them.

use std::collections::BTreeMap;

use corpus::StoreError;
use lexical::Part;

use crate::Writer;
use crate::manifest::segment_folder;
use crate::segment::SegmentWriter;
use crate::writer::Closed;

/// How many small segments of about the same size are merged into one.
const AT_ONCE: usize = 8;

/// What the choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) passages: u32,
    pub(crate) live: u32,
}

/// Which segments are to become one, ascending; none when all is well. A pure function, called until it says so.
///
/// A segment is small when its live passages are at most half of `limit`. Small ones stand in tiers by their size,
/// each [`AT_ONCE`] times the one before; when a tier has that many, they become one, as far as they are not above
/// `limit` together. So a passage is written again about once per tier, a merge never takes more memory than a
/// full segment does, and full segments are left alone. A segment of which more than a fifth is deleted is written
/// anew by itself, unless it is above `limit`.
pub(crate) fn choose(sizes: &[Size], limit: u32) -> Option<Vec<usize>> {
    if let Some(wasteful) = sizes
        .iter()
        .position(|size| size.live <= limit && (size.passages - size.live).saturating_mul(5) > size.passages)
    {
        return Some(vec![wasteful]);
    }
    let mut tiers: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (i, size) in sizes
        .iter()
        .enumerate()
        .filter(|(_, size)| size.live <= limit / 2)
    {
        tiers
            .entry(size.live.max(1).ilog(AT_ONCE as u32))
            .or_default()
            .push(i);
    }
    let tier = tiers.into_values().find(|tier| tier.len() >= AT_ONCE)?;
    let mut sum = 0_u64;
    let fits = |&i: &usize| {
        sum += u64::from(sizes[i].live);
        sum <= u64::from(limit)
    };
    Some(tier.into_iter().take(AT_ONCE).take_while(fits).collect())
}

/// Which segments are to become one until there are as few as can be, none above `limit`, and nothing deleted is left:
/// the smallest together, then each with a deleted passage by itself.
pub(crate) fn choose_all(sizes: &[Size], limit: u32) -> Option<Vec<usize>> {
    let mut smallest: Vec<usize> = (0..sizes.len()).collect();
    smallest.sort_by_key(|&i| sizes[i].live);
    let mut sum = 0_u64;
    let fits = |&i: &usize| {
        sum += u64::from(sizes[i].live);
        sum <= u64::from(limit)
    };
    let mut chosen: Vec<usize> = smallest.into_iter().take_while(fits).collect();
    chosen.sort_unstable();
    match chosen.len() {
        2.. => Some(chosen),
        _ => {
            let stale = sizes.iter().position(|size| size.live < size.passages)?;
            Some(vec![stale])
        }
    }
}

impl Writer {
    /// Merges closed segments as [`choose`] says. The old folders stay until no commit lists them.
    pub(crate) fn merge(&mut self) -> Result<(), StoreError> {
        loop {
            let sizes = self.closed.iter().map(|closed| Size {
                passages: closed.entry.passages,
                live: closed.live_passages(),
            });
            let sizes: Vec<Size> = sizes.collect();
            let Some(chosen) = choose(&sizes, self.limits.segment_passages_max) else {
                return Ok(());
            };
            let id = self.next_segment;
            self.next_segment += 1;
            let folder = segment_folder(&self.index, id);
            let mut merged = SegmentWriter::create_merged(folder, id, &self.manifest.settings, &self.limits)?;
            for &i in &chosen {
                copy(&self.closed[i], &mut merged)?;
            }
            let parts: Vec<Part<'_>> = chosen
                .iter()
                .map(|&i| Part {
                    postings: &self.closed[i].segment.postings,
                    deleted: &self.closed[i].deleted,
                })
                .collect();
            let merged = self.opened(merged.finish_merged(&parts)?)?;
            for &i in chosen.iter().rev() {
                self.closed.remove(i);
            }
            self.closed.extend(merged);
        }
    }
}

/// Adds the live documents of a segment to another.
fn copy(from: &Closed, to: &mut SegmentWriter) -> Result<(), StoreError> {
    let documents = &from.segment.documents;
    for number in 0..documents.len() {
        if from.deleted.contains(documents.rows(number)?.start) {
            continue;
        }
        let prepared = from.segment.document(number)?;
        to.push(&prepared, documents.content_hash(number)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(live: &[u32]) -> Vec<Size> {
        live.iter().map(|&live| Size { passages: live, live }).collect()
    }

    #[test]
    fn a_few_small_segments_are_left_alone() {
        assert_eq!(choose(&full(&[1; AT_ONCE - 1]), 100), None);
        assert_eq!(choose(&full(&[100; 50]), 100), None, "full segments are");
    }

    #[test]
    fn segments_of_one_tier_are_merged() {
        let sizes = [40, 1, 1, 1, 1, 1, 1, 1, 1, 50, 100, 8];
        assert_eq!(choose(&full(&sizes), 100), Some(vec![1, 2, 3, 4, 5, 6, 7, 8]));
        assert_eq!(
            choose(&full(&[50; AT_ONCE]), 100),
            Some(vec![0, 1]),
            "not above the limit together"
        );
    }

    #[test]
    fn a_segment_of_many_deleted_passages_is_written_anew() {
        let mut sizes = full(&[10, 10, 10]);
        sizes[1].live = 8;
        assert_eq!(choose(&sizes, 10), None, "a fifth is not more");
        sizes[1].live = 7;
        assert_eq!(choose(&sizes, 10), Some(vec![1]));
        assert_eq!(
            choose(&sizes, 6),
            None,
            "who writes small segments leaves it to who merges"
        );
    }

    #[test]
    fn all_become_as_few_as_can_be() {
        assert_eq!(choose_all(&full(&[60, 1, 50, 30]), 100), Some(vec![1, 2, 3]));
        assert_eq!(choose_all(&full(&[60, 81]), 100), None);
        assert_eq!(choose_all(&full(&[7]), 100), None);
        assert_eq!(choose_all(&[], 100), None);
        let mut sizes = full(&[60, 200]);
        sizes[1].live = 199;
        assert_eq!(
            choose_all(&sizes, 100),
            Some(vec![1]),
            "above the limit, but not for ever"
        );
    }

    #[test]
    fn single_documents_are_written_again_a_few_times_only() {
        let (mut sizes, mut rewritten) = (Vec::new(), 0);
        for _ in 0..4096 {
            sizes.push(1);
            while let Some(chosen) = choose(&full(&sizes), 20_000) {
                let sum: u32 = chosen.iter().map(|&i| sizes[i]).sum();
                for i in chosen.into_iter().rev() {
                    sizes.remove(i);
                }
                sizes.push(sum);
                rewritten += sum;
            }
            assert!(sizes.len() < 5 * AT_ONCE);
        }
        assert!(rewritten < 5 * 4096, "{rewritten} for 4096");
    }
}
