//! Passages into documents, documents into pages.

use std::collections::HashMap;
use std::hash::Hash;

use crate::SearchRequest;
use crate::searcher::Candidate;

/// The candidates of each hit, over all pages, best first.
pub(crate) fn grouped(request: &SearchRequest, candidates: &[Candidate]) -> Vec<Vec<usize>> {
    match request.group {
        true => group(candidates.iter().map(|one| &one.passage.document)),
        false => (0..candidates.len()).map(|i| vec![i]).collect(),
    }
}

/// The groups of the page that is asked for, each with at least one candidate, best first.
pub(crate) fn page<'c>(
    request: &SearchRequest,
    groups: &[Vec<usize>],
    candidates: &'c [Candidate],
) -> Vec<Vec<&'c Candidate>> {
    let wanted = groups.iter().skip(request.offset).take(request.limit);
    wanted
        .map(|group| group.iter().map(|&i| &candidates[i]).collect())
        .collect()
}

/// Puts equal keys together: groups in the order of their first members, members in order, as positions.
fn group<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut group_of = HashMap::new();
    for (position, key) in keys.enumerate() {
        let at = *group_of.entry(key).or_insert(groups.len());
        if at == groups.len() {
            groups.push(Vec::new());
        }
        groups[at].push(position);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stands_where_its_best_member_stood() {
        let groups = group("baabca".chars());
        assert_eq!(groups, [vec![0, 3], vec![1, 2, 5], vec![4]]);
        assert!(group(std::iter::empty::<u8>()).is_empty());
    }
}
