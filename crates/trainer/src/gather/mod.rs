//! Makes the pairs of a sentence run out of documents, pairs and questions.
//!
//! Files are read once, record by record; memory holds the pairs that are kept. A positive is kept by the hash of
//! its text and the seed: of each source those with the least hashes. So the sample is fair, does not depend on the
//! order of the files, and a text that comes again finds its place.

mod passages;
mod squad;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use rand::Rng as _;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::error::{Error, Result, io};
use crate::random;
use crate::texts::{self, Document};

/// Words of a positive that comes with its query; longer ones are cut.
const PAIR_WORDS: usize = 110;
/// Pairs with less on either side say nothing.
const QUERY_CHARACTERS_MIN: usize = 4;
const POSITIVE_WORDS_MIN: usize = 8;

/// What to read and what to take of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Files of documents: `{source, title, sections: [{heading, paragraphs}]}` a line.
    pub documents: Vec<PathBuf>,
    /// Share of the documents' passages to take, above 0 and at most 1.
    pub documents_share: f64,
    /// Files of `{query, positive, source}` a line.
    pub pairs: Vec<PathBuf>,
    /// Files in the layout of SQuAD 1.1 (Rajpurkar et al. 2016).
    pub squad: Vec<PathBuf>,
    /// Files in the same layout, whose articles are left out of documents and questions.
    pub exclude_titles_of: Vec<PathBuf>,
    /// Different positives of one source at most, at least 1.
    pub per_source_max: usize,
    /// Seed of every random choice.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines written.
    pub queries: usize,
    /// Different positives.
    pub positives: usize,
    /// Times that a positive came again and its queries were joined.
    pub joined: usize,
    /// Documents and articles left out by their title.
    pub excluded: usize,
}

/// Reads everything that the settings name and writes the pairs file, the queries of a positive one after the
/// other, positives in random order.
///
/// # Errors
/// Settings out of range; a file that cannot be read or written; a damaged line, by file and line.
pub fn gather(settings: &Settings, out: &Path) -> Result<Counts> {
    settings.check()?;
    let mut sample = Sample::new(settings);
    let mut excluded = HashSet::new();
    for path in &settings.exclude_titles_of {
        excluded.extend(squad::read(path)?.into_iter().map(|article| article.title));
    }
    sample.add_squad(&settings.squad, &excluded)?;
    sample.add_pairs(&settings.pairs)?;
    sample.add_documents(&settings.documents, settings.documents_share, &excluded)?;
    sample.write(out)
}

impl Settings {
    fn check(&self) -> Result<()> {
        let refuse = |field, value: String, accepted: &str| {
            let accepted = accepted.to_owned();
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        if self.documents.is_empty() && self.pairs.is_empty() && self.squad.is_empty() {
            return refuse(
                "sources",
                "empty".into(),
                "at least one file of documents, pairs or squad",
            );
        }
        if !(self.documents_share > 0.0 && self.documents_share <= 1.0) {
            let share = self.documents_share.to_string();
            return refuse("documents_share", share, "above 0 and at most 1");
        }
        if self.per_source_max == 0 {
            return refuse("max_per_source", "0".into(), "1 or more");
        }
        Ok(())
    }
}

/// A line of a file of pairs, read and written.
#[derive(Serialize, Deserialize)]
struct Line {
    query: String,
    positive: String,
    #[serde(default)]
    source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    answers: Vec<String>,
}

/// A query, and strings that answer it where they are known: no passage that has one is a negative.
struct Asked {
    query: String,
    answers: Vec<String>,
}

impl From<String> for Asked {
    fn from(query: String) -> Self {
        let answers = Vec::new();
        Self { query, answers }
    }
}

/// A positive with its queries.
struct Group {
    source: String,
    positive: String,
    queries: Vec<Asked>,
}

/// The positives that are kept so far.
struct Sample {
    seed: u64,
    per_source_max: usize,
    groups: HashMap<u128, Group>,
    /// Hashes of the positives of each source.
    sources: HashMap<String, BTreeSet<u128>>,
    counts: Counts,
}

impl Sample {
    fn new(settings: &Settings) -> Self {
        Self {
            seed: settings.seed,
            per_source_max: settings.per_source_max,
            groups: HashMap::new(),
            sources: HashMap::new(),
            counts: Counts::default(),
        }
    }

    fn add(&mut self, source: &str, positive: String, queries: Vec<Asked>) {
        let hash = xxh3_128_with_seed(positive.as_bytes(), self.seed);
        if let Some(group) = self.groups.get_mut(&hash) {
            self.counts.joined += 1;
            for query in queries {
                if !group.queries.iter().any(|known| known.query == query.query) {
                    group.queries.push(query);
                }
            }
            return;
        }
        let source = source.to_owned();
        let kept = self.sources.entry(source.clone()).or_default();
        kept.insert(hash);
        let group = Group {
            source,
            positive,
            queries,
        };
        self.groups.insert(hash, group);
        if kept.len() > self.per_source_max
            && let Some(greatest) = kept.pop_last()
        {
            self.groups.remove(&greatest);
        }
    }

    fn add_squad(&mut self, paths: &[PathBuf], excluded: &HashSet<String>) -> Result<()> {
        let mut random = random::stream(self.seed, "titles of paragraphs", 0);
        for path in paths {
            for article in squad::read(path)? {
                if excluded.contains(&article.title) {
                    self.counts.excluded += 1;
                    continue;
                }
                for (context, questions) in article.paragraphs {
                    let positive = match random.random_bool(0.5) {
                        true => format!("{} {context}", article.title),
                        false => context,
                    };
                    if !questions.is_empty() {
                        self.add("squad", positive, questions);
                    }
                }
            }
        }
        Ok(())
    }

    fn add_pairs(&mut self, paths: &[PathBuf]) -> Result<()> {
        for path in paths {
            for line in texts::records::<Line>(path)? {
                let Line {
                    query,
                    positive,
                    source,
                    answers,
                } = line?;
                let (query, positive) = (query.trim(), positive.trim());
                let is_short = query.chars().count() < QUERY_CHARACTERS_MIN
                    || positive.split_whitespace().count() < POSITIVE_WORDS_MIN;
                if is_short {
                    continue;
                }
                // By the text, so that the same positive is cut to the same passage each time.
                let text = xxh3_128_with_seed(positive.as_bytes(), self.seed) as u64;
                let mut random = random::stream(self.seed, "length of a positive", text);
                let positive = passages::cut(positive, PAIR_WORDS, &mut random);
                let query = query.to_owned();
                self.add(&source, positive, vec![Asked { query, answers }]);
            }
        }
        Ok(())
    }

    fn add_documents(&mut self, paths: &[PathBuf], share: f64, excluded: &HashSet<String>) -> Result<()> {
        let mut number = 0;
        for path in paths {
            for document in texts::records::<Document>(path)? {
                let document = document?;
                number += 1;
                if excluded.contains(&document.title) {
                    self.counts.excluded += 1;
                    continue;
                }
                let mut random = random::stream(self.seed, "passages of a document", number);
                for passages::Asked { positive, queries } in passages::passages(&document, &mut random) {
                    if random.random_bool(share) && !queries.is_empty() {
                        let queries = queries.into_iter().map(Asked::from).collect();
                        self.add(&document.source, positive, queries);
                    }
                }
            }
        }
        Ok(())
    }

    fn write(self, out: &Path) -> Result<Counts> {
        let mut counts = self.counts;
        let mut groups: Vec<(u128, Group)> = self.groups.into_iter().collect();
        groups.sort_unstable_by_key(|(hash, _)| *hash);
        let mut file = BufWriter::new(File::create(out).map_err(io(out))?);
        counts.positives = groups.len();
        for (
            _,
            Group {
                source,
                positive,
                queries,
            },
        ) in groups
        {
            counts.queries += queries.len();
            let mut line = Line {
                query: String::new(),
                positive,
                source,
                answers: Vec::new(),
            };
            for asked in queries {
                (line.query, line.answers) = (asked.query, asked.answers);
                serde_json::to_writer(&mut file, &line).map_err(|e| io(out)(e.into()))?;
                file.write_all(b"\n").map_err(io(out))?;
            }
        }
        file.flush().map_err(io(out))?;
        Ok(counts)
    }
}

#[cfg(test)]
mod tests;
