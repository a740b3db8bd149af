//! Counting the values of metadata fields.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Serialize;

use crate::{Metadata, Value};

/// A value with the documents that have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FacetCount {
    /// The value.
    pub value: Value,
    /// How many documents have it. A document with a list counts for each of its values, once.
    pub documents: usize,
}

/// Counts document by document.
#[derive(Debug)]
pub struct FacetCounter<'f> {
    fields: &'f [String],
    counts: Vec<BTreeMap<Key, FacetCount>>,
}

/// Values that are equal to a filter have the same key.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Boolean(bool),
    /// Bits that are in the order of the numbers.
    Number(i64),
    Date(i128),
    String(String),
}

impl Key {
    /// None for a list.
    fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Boolean(flag) => Some(Self::Boolean(*flag)),
            // Adding zero makes -0 the 0 that it equals. The bits of a negative number are in reverse order.
            Value::Number(number) => {
                let bits = (number + 0.0).to_bits().cast_signed();
                Some(Self::Number(if bits < 0 { bits ^ i64::MAX } else { bits }))
            }
            Value::Date(date) => Some(Self::Date(date.instant())),
            Value::String(text) => Some(Self::String(text.clone())),
            Value::List(_) => None,
        }
    }
}

impl<'f> FacetCounter<'f> {
    /// Nothing is counted yet.
    pub fn new(fields: &'f [String]) -> Self {
        Self {
            fields,
            counts: fields.iter().map(|_| BTreeMap::new()).collect(),
        }
    }

    /// Counts one document.
    pub fn add(&mut self, metadata: &Metadata) {
        for (field, counts) in self.fields.iter().zip(&mut self.counts) {
            let Some(value) = metadata.get(field) else {
                continue;
            };
            let mut values: Vec<(Key, &Value)> = value
                .members()
                .iter()
                .filter_map(|value| Some((Key::of(value)?, value)))
                .collect();
            values.sort_by(|a, b| a.0.cmp(&b.0));
            values.dedup_by(|a, b| a.0 == b.0);
            for (key, value) in values {
                match counts.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(FacetCount {
                            value: value.clone(),
                            documents: 1,
                        });
                    }
                    Entry::Occupied(mut entry) => entry.get_mut().add(value),
                }
            }
        }
    }

    /// For each field its values: those of the most documents first; of as many, booleans before numbers, dates and
    /// texts, each in their order.
    pub fn finish(self) -> Vec<Vec<FacetCount>> {
        let sorted = |counts: BTreeMap<Key, FacetCount>| {
            let mut counts: Vec<FacetCount> = counts.into_values().collect();
            counts.sort_by_key(|count| std::cmp::Reverse(count.documents));
            counts
        };
        self.counts.into_iter().map(sorted).collect()
    }
}

impl FacetCount {
    fn add(&mut self, value: &Value) {
        self.documents += 1;
        // One instant may be written in several ways; the answer does not depend on which comes first.
        if let (Value::Date(shown), Value::Date(other)) = (&mut self.value, value)
            && other.as_str() < shown.as_str()
        {
            *shown = other.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn counted(documents: &[&str]) -> Vec<(String, usize)> {
        let fields = ["f".to_owned()];
        let mut counter = FacetCounter::new(&fields);
        for json in documents {
            counter.add(&serde_json::from_str(json).unwrap());
        }
        let counts = counter.finish().remove(0).into_iter();
        counts
            .map(|count| (serde_json::to_string(&count.value).unwrap(), count.documents))
            .collect()
    }

    #[test]
    fn values_are_counted_as_filters_compare_them() {
        let found = counted(&[
            r#"{"f": ["a", "b", "a"]}"#,
            r#"{"f": "b"}"#,
            r#"{"f": []}"#,
            r#"{"g": "b"}"#,
            r#"{"f": [0, -0.0, 7, -1, -2.5, true]}"#,
            r#"{"f": "2024-05-31T02:00:00+02:00"}"#,
            r#"{"f": "2024-05-31"}"#,
        ]);
        let expected = [
            ("\"2024-05-31\"", 2),
            ("\"b\"", 2),
            ("true", 1),
            ("-2.5", 1),
            ("-1", 1),
            ("0", 1),
            ("7", 1),
            ("\"a\"", 1),
        ];
        assert_eq!(found, expected.map(|(value, count)| (value.to_owned(), count)));
    }
}
