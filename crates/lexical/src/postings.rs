//! The postings of one segment: written in row order, then only read.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use roaring::RoaringBitmap;
use tantivy::directory::{MmapDirectory, OwnedBytes};
use tantivy::fastfield::{AliveBitSet, write_alive_bitset};
use tantivy::fieldnorm::FieldNormReader;
use tantivy::index::{IndexSettings, InvertedIndexReader, SegmentReader};
use tantivy::indexer::merge_filtered_segments;
use tantivy::postings::{BlockSegmentPostings, Postings as _};
use tantivy::schema::{Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::store::Compressor;
use tantivy::termdict::TermStreamer;
use tantivy::tokenizer::TokenizerManager;
use tantivy::{BitSet, DocSet, Index, Segment, SingleSegmentIndexWriter, TERMINATED, TantivyDocument, Term};
use tantivy_fst::Automaton;

use crate::directory::{Refused, Remembering};
use crate::{Analyzer, LexicalError, Part, Totals};

const FIELD: &str = "text";
const ANALYSIS: &str = "analyzer";

/// What tantivy sizes its first table of terms by; it grows beyond.
const TABLE_BYTES: usize = 15_000_000;

/// Writes the terms of passages; the n-th text becomes row n, counted from 0.
///
/// The postings are held in memory until [`PostingsWriter::finish`]; a caller bounds them by starting a new segment.
pub struct PostingsWriter {
    writer: SingleSegmentIndexWriter,
    field: Field,
    folder: PathBuf,
    refused: Refused,
    rows: u32,
}

impl PostingsWriter {
    /// Starts postings in an empty folder, which is created when it is missing.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn create(folder: &Path, analyzer: &Analyzer) -> Result<Self, LexicalError> {
        std::fs::create_dir_all(folder).map_err(|source| LexicalError::io(folder, source))?;
        let directory = MmapDirectory::open(folder).map_err(|e| LexicalError::at(folder, e.into()))?;
        let directory = Remembering::new(directory, folder);
        let refused = directory.refused();
        let (schema, field) = schema();
        let tokenizers = TokenizerManager::new();
        tokenizers.register(ANALYSIS, analyzer.chain());
        let writer = Index::builder()
            .schema(schema)
            .settings(settings())
            .tokenizers(tokenizers)
            .single_segment_index_writer(directory, TABLE_BYTES)
            .map_err(|e| refused.or(LexicalError::at(folder, e)))?;
        Ok(Self {
            writer,
            field,
            refused,
            folder: folder.to_owned(),
            rows: 0,
        })
    }

    /// Adds the next row, of one or more texts. No phrase goes from one to the next.
    ///
    /// # Errors
    /// When tantivy cannot write.
    pub fn push<'t>(&mut self, texts: impl IntoIterator<Item = &'t str>) -> Result<(), LexicalError> {
        let mut document = TantivyDocument::new();
        for text in texts {
            document.add_text(self.field, text);
        }
        self.writer
            .add_document(document)
            .map_err(|e| self.refused.or(LexicalError::at(&self.folder, e)))?;
        self.rows += 1;
        Ok(())
    }

    /// Bytes of memory that the postings take so far, about.
    pub fn memory_bytes(&self) -> usize {
        self.writer.mem_usage()
    }

    /// Writes everything to disk; returns the number of rows.
    ///
    /// # Errors
    /// When the files cannot be written.
    pub fn finish(self) -> Result<u32, LexicalError> {
        self.writer
            .finalize()
            .map_err(|e| self.refused.or(LexicalError::at(&self.folder, e)))?;
        Ok(self.rows)
    }
}

/// The rows that are not deleted, as tantivy has them.
fn alive(part: &Part<'_>) -> io::Result<AliveBitSet> {
    let mut alive = BitSet::with_max_value_and_full(part.postings.rows);
    part.deleted.iter().for_each(|row| alive.remove(row));
    let mut bytes = Vec::new();
    write_alive_bitset(&alive, &mut bytes)?;
    Ok(AliveBitSet::open(OwnedBytes::new(bytes)))
}

/// Nothing is stored in tantivy, so nothing is there to compress.
fn settings() -> IndexSettings {
    IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    }
}

fn schema() -> (Schema, Field) {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(ANALYSIS)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    let mut schema = Schema::builder();
    let field = schema.add_text_field(FIELD, TextOptions::default().set_indexing_options(indexing));
    (schema.build(), field)
}

/// The postings of one segment, memory-mapped.
pub struct Postings {
    terms: Arc<InvertedIndexReader>,
    lengths: FieldNormReader,
    field: Field,
    rows: u32,
    segment: Segment,
    folder: PathBuf,
}

impl Postings {
    /// Writes the rows of several, without the deleted ones, as one; their order stays. Takes little memory, however
    /// many there are. Returns the number of rows.
    ///
    /// # Errors
    /// When files cannot be read or written.
    pub fn merge(parts: &[Part<'_>], folder: &Path) -> Result<u32, LexicalError> {
        std::fs::create_dir_all(folder).map_err(|source| LexicalError::io(folder, source))?;
        let directory = MmapDirectory::open(folder).map_err(|e| LexicalError::at(folder, e.into()))?;
        let directory = Remembering::new(directory, folder);
        let refused = directory.refused();
        let segments: Vec<Segment> = parts.iter().map(|part| part.postings.segment.clone()).collect();
        let alive = parts
            .iter()
            .map(|part| match part.deleted.is_empty() {
                true => Ok(None),
                false => alive(part).map(Some),
            })
            .collect::<io::Result<_>>()
            .map_err(|source| LexicalError::io(folder, source))?;
        let merged = merge_filtered_segments(&segments, settings(), alive, directory);
        merged.map_err(|e| refused.or(LexicalError::at(folder, e)))?;
        let live = |part: &Part<'_>| part.postings.rows - part.deleted.len() as u32;
        Ok(parts.iter().map(live).sum())
    }

    /// Opens what a [`PostingsWriter`] wrote. The caller has compared the checksums of the files.
    ///
    /// # Errors
    /// [`LexicalError::Damaged`] when the folder does not hold one segment of our schema, or a file is missing.
    pub fn open(folder: &Path) -> Result<Self, LexicalError> {
        let at = |e| LexicalError::at(folder, e);
        let damaged = |reason: String| LexicalError::Damaged {
            path: folder.to_owned(),
            reason,
        };
        let directory = MmapDirectory::open(folder).map_err(|e| at(e.into()))?;
        let index = Index::open(directory).map_err(at)?;
        let (schema, field) = schema();
        if index.schema() != schema {
            return Err(damaged("the schema is not the one that is written here".into()));
        }
        let segments = index.searchable_segments().map_err(at)?;
        let [segment] = segments.as_slice() else {
            return Err(damaged(format!(
                "{} tantivy segments instead of one",
                segments.len()
            )));
        };
        let reader = SegmentReader::open(segment).map_err(at)?;
        Ok(Self {
            terms: reader.inverted_index(field).map_err(at)?,
            lengths: reader.get_fieldnorms_reader(field).map_err(at)?,
            field,
            rows: reader.max_doc(),
            segment: segment.clone(),
            folder: folder.to_owned(),
        })
    }

    /// Number of rows.
    pub fn rows(&self) -> u32 {
        self.rows
    }

    /// Rows and terms that are not deleted. Takes one pass over the lengths.
    pub fn totals(&self, deleted: &RoaringBitmap) -> Totals {
        let live = (0..self.rows).filter(|&row| !deleted.contains(row));
        live.fold(Totals::default(), |sum, row| Totals {
            rows: sum.rows + 1,
            terms: sum.terms + u64::from(self.lengths.fieldnorm(row)),
        })
    }

    /// The code of a row's length, an index into the table of the 256 lengths that tantivy can store.
    pub(crate) fn length_code(&self, row: u32) -> u8 {
        self.lengths.fieldnorm_id(row)
    }

    /// The length in terms that a code stands for: the greatest that is not above the row's own.
    pub(crate) fn length_of(code: u8) -> u32 {
        FieldNormReader::id_to_fieldnorm(code)
    }

    /// The rows of a term with its frequencies, block by block; none when no row has it.
    pub(crate) fn blocks(&self, term: &str) -> Result<Option<BlockSegmentPostings>, LexicalError> {
        let term = Term::from_field_text(self.field, term);
        self.terms
            .read_block_postings(&term, IndexRecordOption::WithFreqs)
            .map_err(|source| LexicalError::io(&self.folder, source))
    }

    /// The terms that begin with a prefix.
    pub(crate) fn terms_with_prefix(&self, prefix: &str) -> Result<Vec<String>, LexicalError> {
        let stream = self.terms.terms().range().ge(prefix.as_bytes()).into_stream();
        let stream = stream.map_err(|source| LexicalError::io(&self.folder, source))?;
        Ok(read_while(stream, |term| term.starts_with(prefix)))
    }

    /// The terms that an automaton accepts.
    pub(crate) fn terms_accepted<A>(&self, automaton: A) -> Result<Vec<String>, LexicalError>
    where
        A: Automaton,
        A::State: Clone,
    {
        let stream = self.terms.terms().search(automaton).into_stream();
        let stream = stream.map_err(|source| LexicalError::io(&self.folder, source))?;
        Ok(read_while(stream, |_| true))
    }

    /// The rows in which terms stand at these places after the first of them, each with how often they do.
    pub(crate) fn phrase(&self, phrase: &[(u32, String)]) -> Result<Vec<(u32, u32)>, LexicalError> {
        let mut rows = Vec::new();
        let mut postings = Vec::with_capacity(phrase.len());
        for (place, term) in phrase {
            let term = Term::from_field_text(self.field, term);
            let found = self
                .terms
                .read_postings(&term, IndexRecordOption::WithFreqsAndPositions);
            match found.map_err(|source| LexicalError::io(&self.folder, source))? {
                Some(found) => postings.push((*place, found)),
                None => return Ok(rows),
            }
        }
        let Some(((_, first), others)) = postings.split_first_mut() else {
            return Ok(rows);
        };
        let (mut starts, mut places) = (Vec::new(), Vec::new());
        let mut row = first.doc();
        while row != TERMINATED {
            first.positions(&mut starts);
            for (place, other) in &mut *others {
                if other.doc() < row {
                    other.seek(row);
                }
                if other.doc() != row {
                    starts.clear();
                    break;
                }
                other.positions(&mut places);
                starts.retain(|start| places.binary_search(&(start + *place)).is_ok());
            }
            if !starts.is_empty() {
                rows.push((row, starts.len() as u32));
            }
            row = first.advance();
        }
        Ok(rows)
    }
}

/// The terms of a stream, up to the first that does not belong.
fn read_while<A>(mut stream: TermStreamer<'_, A>, belongs: impl Fn(&str) -> bool) -> Vec<String>
where
    A: Automaton,
    A::State: Clone,
{
    let mut terms = Vec::new();
    while stream.advance() {
        // Terms are cut at a character; what is no text was not written here.
        match std::str::from_utf8(stream.key()) {
            Ok(term) if belongs(term) => terms.push(term.to_owned()),
            _ => break,
        }
    }
    terms
}

impl std::fmt::Debug for Postings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Postings({}, {} rows)", self.folder.display(), self.rows)
    }
}
