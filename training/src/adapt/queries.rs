//! The queries that both models are compared on.

use std::collections::{HashMap, HashSet};
use std::fmt::{self, Display, Formatter};
use std::path::Path;

use anyhow::{Result, bail};
use corpus::{Document, DocumentId, Metadata};
use data::{beir, pairs};
use measure::{Judgments, Qrels};

use super::AdaptArgs;
use super::corpus::{Split, documents};

/// Documents that answer none of the queries stand beside those that do, up to so many.
const OTHERS_MAX: usize = 20_000;
/// Queries that are made from documents, at most; they are in random order.
const MADE_MAX: usize = 2_000;

/// Queries, what answers each, and the documents that are searched.
pub(super) struct Queries {
    kind: &'static str,
    pub(super) texts: Vec<String>,
    pub(super) judgments: Vec<Judgments>,
    pub(super) documents: Vec<Document>,
}

impl Display for Queries {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (queries, documents) = (self.texts.len(), self.documents.len());
        write!(f, "{queries} {} among {documents}", self.kind)
    }
}

impl Queries {
    /// Those that were made from the documents that are held out, and the passages that they were made from, beside
    /// passages that the new model learned from.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub(super) fn made(split: &Split) -> Result<Self> {
        let mut made = Self {
            kind: "held-out queries",
            texts: Vec::new(),
            judgments: Vec::new(),
            documents: Vec::new(),
        };
        let (mut numbers, mut places) = (HashMap::new(), HashMap::new());
        for pair in pairs::read(&split.held_out_file)? {
            let pair = pair?.value;
            if made.texts.len() < MADE_MAX && !numbers.contains_key(&pair.query) {
                numbers.insert(pair.query.clone(), made.texts.len());
                made.texts.push(pair.query.clone());
                made.judgments.push(Judgments::new());
            }
            if let Some(&number) = numbers.get(&pair.query) {
                made.add(pair.positive, Some(number), &mut places)?;
            }
        }
        let most = made.documents.len() + OTHERS_MAX;
        for pair in pairs::read(&split.pairs_file)? {
            if made.documents.len() == most {
                break;
            }
            let pair = pair?.value;
            let number = numbers.get(&pair.query).copied();
            made.add(pair.positive, number, &mut places)?;
        }
        Ok(made)
    }

    fn add(
        &mut self,
        passage: String,
        query: Option<usize>,
        places: &mut HashMap<String, DocumentId>,
    ) -> Result<()> {
        let id = match places.get(&passage) {
            Some(id) => id.clone(),
            None => {
                let id = DocumentId::new(places.len().to_string())?;
                places.insert(passage.clone(), id.clone());
                self.documents.push(Document {
                    id: id.clone(),
                    title: String::new(),
                    text: passage,
                    metadata: Metadata::default(),
                });
                id
            }
        };
        if let Some(query) = query {
            self.judgments[query].insert(id.as_str().to_owned(), 1);
        }
        Ok(())
    }

    /// Those of people, with judgments of the corpus' documents.
    ///
    /// # Errors
    /// Files that are damaged, or that judge no document of the corpus.
    pub(super) fn judged(folder: &Path, args: &AdaptArgs) -> Result<Self> {
        let (queries, judgments) = beir::judged(folder, "test")?;
        let mut qrels = Qrels::new();
        for judgment in &judgments {
            qrels.insert(&judgment.query, &judgment.document, judgment.grade)?;
        }
        let judged: HashSet<&str> = judgments
            .iter()
            .map(|judgment| judgment.document.as_str())
            .collect();
        let (mut kept, mut places, mut found) = (Vec::<Document>::new(), HashMap::new(), 0);
        for document in documents(args)? {
            let Some(document) = document? else { continue };
            // As in an index, the last of a name counts.
            if let Some(&place) = places.get(&document.id) {
                kept[place] = document;
                continue;
            }
            let is_judged = judged.contains(document.id.as_str());
            if is_judged || kept.len() - found < OTHERS_MAX {
                found += usize::from(is_judged);
                places.insert(document.id.clone(), kept.len());
                kept.push(document);
            }
        }
        if found == 0 {
            let id = kept.first().map_or("none", |document| document.id.as_str());
            bail!(
                "{}: none of the {} documents that are judged is in the corpus: the first there is {:?}, and in the \
                 corpus {id:?}",
                folder.display(),
                judged.len(),
                judgments[0].document
            );
        }
        let missing = judged.len() - found;
        if missing > 0 {
            let note = format!(
                "{missing} of the {} documents that are judged are not in the corpus",
                judged.len()
            );
            launch::warn(&folder.display().to_string(), &[note]);
        }
        let of = |query: &beir::Query| qrels.judgments(&query.id).cloned().unwrap_or_default();
        Ok(Self {
            kind: "judged queries",
            judgments: queries.iter().map(of).collect(),
            texts: queries.into_iter().map(|query| query.text).collect(),
            documents: kept,
        })
    }
}
