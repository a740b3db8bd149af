//! Passages into documents.

use std::collections::HashMap;
use std::hash::Hash;

/// Puts equal keys together: groups in the order of their first members, members in order, as positions.
pub(crate) fn group<K: Eq + Hash>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
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
