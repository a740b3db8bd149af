//! The labels of a classification head, by name and by number.

use encoder::Config;
use serde_json::{Map, Value};

/// Distinct names; the number of a label is its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Labels {
    names: Vec<String>,
}

impl Labels {
    /// In this order, each name once.
    pub(crate) fn new(names: impl IntoIterator<Item = String>) -> Self {
        let mut labels = Self::default();
        for name in names {
            if labels.number(&name).is_none() {
                labels.names.push(name);
            }
        }
        labels
    }

    /// In order of number where all are whole numbers, else of the alphabet.
    pub(crate) fn sorted(mut names: Vec<String>) -> Self {
        let number = |name: &String| name.parse::<i64>().ok();
        if names.iter().all(|name| number(name).is_some()) {
            names.sort_by_key(number);
        } else {
            names.sort();
        }
        names.dedup();
        Self { names }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len()
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The number of a name.
    pub(crate) fn number(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The names for an error, the first of many.
    pub(crate) fn shown(&self) -> String {
        const SHOWN: usize = 20;
        let more = if self.names.len() > SHOWN { ", ..." } else { "" };
        format!("{}{more}", self.names[..self.names.len().min(SHOWN)].join(", "))
    }

    /// Writes them into a configuration, as `id2label` and `label2id`.
    pub(crate) fn put(&self, config: &mut Config) {
        let names = self.names.iter().enumerate();
        let by_number: Map<String, Value> = names
            .clone()
            .map(|(at, name)| (at.to_string(), name.clone().into()))
            .collect();
        let by_name: Map<String, Value> = names.map(|(at, name)| (name.clone(), at.into())).collect();
        config.extra.insert("id2label".into(), by_number.into());
        config.extra.insert("label2id".into(), by_name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_as_numbers_and_written_both_ways() {
        let names = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect::<Vec<_>>();
        assert_eq!(Labels::sorted(names(&["10", "2", "2"])).names(), ["2", "10"]);
        let labels = Labels::sorted(names(&["yes", "10", "no"]));
        assert_eq!(labels.names(), ["10", "no", "yes"]);
        assert_eq!(Labels::new(names(&["b", "a", "b"])).names(), ["b", "a"]);
        let mut config = Config::tiny();
        labels.put(&mut config);
        assert_eq!(config.num_labels(), 3);
        assert_eq!(config.extra["label2id"]["yes"], 2);
        assert_eq!(config.extra["id2label"]["0"], "10");
    }
}
