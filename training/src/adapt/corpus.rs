//! The corpus in two parts, and the pairs of each.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use corpus::Document;
use data::{Mapping, ReadSettings};
use launch::OnError;
use trainer::gather::{self, Counts, Settings};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::AdaptArgs;

/// With fewer queries on either side nothing can be learned, or told.
const QUERIES_MIN: usize = 16;

/// The files that the corpus became.
pub(super) struct Split {
    pub(super) documents: usize,
    /// Records that could not be used.
    skipped: usize,
    pub(super) held_out: usize,
    /// Documents to learn from.
    pub(super) texts: PathBuf,
    /// Their pairs.
    pub(super) pairs_file: PathBuf,
    pub(super) pairs: Counts,
    /// Pairs of the documents that are held out.
    pub(super) held_out_file: PathBuf,
    pub(super) held_out_pairs: Counts,
}

impl Split {
    /// Says how many records were left out, if any.
    pub(super) fn skipped(&self) -> String {
        match self.skipped {
            0 => String::new(),
            count => format!(", bad records skipped: {count}"),
        }
    }
}

/// Reads the corpus; which part a document belongs to depends on its id and the seed alone.
///
/// # Errors
/// A damaged record; a corpus with too little to learn from or to compare on.
pub(super) fn split(args: &AdaptArgs, work: &Path) -> Result<Split> {
    if !(args.held_out > 0.0 && args.held_out < 1.0) {
        bail!("--held-out is {}; accepted is above 0 and below 1", args.held_out);
    }
    let (texts, aside) = (work.join("texts.jsonl"), work.join("held-out-texts.jsonl"));
    let mut files = [writer(&texts)?, writer(&aside)?];
    let (mut counts, mut skipped) = ([0, 0], 0);
    for document in documents(args)? {
        let Some(document) = document? else {
            skipped += 1;
            continue;
        };
        let place = xxh3_64_with_seed(document.id.as_str().as_bytes(), args.seed) as f64 / u64::MAX as f64;
        let part = usize::from(place < args.held_out);
        let line = serde_json::json!({
            "source": "corpus",
            "title": document.title,
            "text": document.text,
        });
        writeln!(files[part], "{line}").with_context(|| work.display().to_string())?;
        counts[part] += 1;
    }
    for file in &mut files {
        file.flush().with_context(|| work.display().to_string())?;
    }
    let (pairs_file, held_out_file) = (work.join("pairs.jsonl"), work.join("held-out.jsonl"));
    Ok(Split {
        documents: counts[0] + counts[1],
        skipped,
        held_out: counts[1],
        pairs: pairs(&texts, &pairs_file, args)?,
        held_out_pairs: pairs(&aside, &held_out_file, args)?,
        texts,
        pairs_file,
        held_out_file,
    })
}

/// The documents of the corpus; none in the place of one that is skipped.
///
/// # Errors
/// A file that cannot be read; a record that cannot be used, unless those are skipped.
pub(super) fn documents(args: &AdaptArgs) -> Result<impl Iterator<Item = Result<Option<Document>>>> {
    let mapping = args.mapping.as_deref().map(Mapping::open).transpose()?;
    let settings = ReadSettings {
        mapping: mapping.unwrap_or_default(),
        ..ReadSettings::default()
    };
    let on_error = args.on_error;
    Ok(
        data::documents(&args.corpus, &settings)?.map(move |document| match document {
            Ok(document) => Ok(Some(document.value)),
            Err(error) if on_error == OnError::Stop => Err(error.into()),
            Err(_) => Ok(None),
        }),
    )
}

fn writer(path: &Path) -> Result<BufWriter<File>> {
    let file = File::create(path).with_context(|| path.display().to_string())?;
    Ok(BufWriter::new(file))
}

fn pairs(documents: &Path, out: &Path, args: &AdaptArgs) -> Result<Counts> {
    let settings = Settings {
        documents: vec![documents.to_owned()],
        documents_share: 1.0,
        pairs: Vec::new(),
        squad: Vec::new(),
        exclude_titles_of: Vec::new(),
        per_source_max: args.passages,
        seed: args.seed,
    };
    let counts = gather::gather(&settings, out)?;
    if counts.queries < QUERIES_MIN {
        bail!(
            "the corpus gives {} queries where {QUERIES_MIN} are needed, both to learn from and to compare on; it takes \
             more documents with passages of 25 words and more, or another share with --held-out",
            counts.queries
        );
    }
    Ok(counts)
}
