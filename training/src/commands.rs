//! `cloze train ...`: each command reads its settings, calls the trainer and tells what it does.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand, ValueEnum};
use encoder::{ModelFiles, SentenceEncoder};
use launch::Exit;
use text::{Tokenizer, vocabulary};
use trainer::{ClassifyRecipe, ReaderRecipe, RerankRecipe, TagRecipe};
use trainer::{DistilRecipe, MlmRecipe, SentenceRecipe, SimilarityRecipe, initial, texts};

use crate::ablate::{AblateArgs, ablate};
use crate::adapt::{AdaptArgs, adapt};
use crate::bench::{BenchArgs, bench};
use crate::follow::{FromRecipe, follow};
use crate::gather::{PairsArgs, gather_pairs};
use crate::mine::{MineArgs, mine_pairs};
use crate::score::{ScoreArgs, score_pairs};
use crate::store::{StoreArgs, store};
use crate::table::{TableArgs, table};
use crate::teach::{TeachArgs, teach_pairs};

/// What can be trained.
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Train a vocabulary on texts: WordPiece, byte pairs or unigrams.
    Vocab(Vocab),
    /// Pre-train an encoder: fill in the blanks of texts.
    Mlm(FromRecipe),
    /// Pre-train in variants and tell what each is worth.
    Ablate(AblateArgs),
    /// Train a smaller encoder beside a teacher: fill in blanks as it does.
    Distil(FromRecipe),
    /// Train a sentence encoder on pairs, with or without a teacher.
    Sentence(FromRecipe),
    /// Train a classifier or a regression of texts or pairs of texts.
    Classify(FromRecipe),
    /// Train a tagger of entities.
    Tag(FromRecipe),
    /// Train a reader: where in a text the answer to a question is, or that it is not there.
    Reader(FromRecipe),
    /// Train a reranker: a cross-encoder over queries with better and worse passages.
    Rerank(FromRecipe),
    /// Train a sentence encoder on pairs of texts with scores.
    Similarity(FromRecipe),
    /// Follow recipes with several seeds, and tell what comes out beside published figures.
    Table(TableArgs),
    /// Make a file of pairs out of documents, pairs and questions.
    Pairs(PairsArgs),
    /// Find hard negatives for the queries of a pairs file.
    Mine(MineArgs),
    /// Measure how fast a model trains here.
    Bench(BenchArgs),
    /// Score positives and negatives with a cross-encoder, for a bi-encoder to learn from.
    Score(ScoreArgs),
    /// Adapt a bi-encoder to documents of one's own.
    Adapt(AdaptArgs),
    /// Compute a teacher's vectors of the texts of a pairs file.
    Teach(TeachArgs),
    /// Make first token vectors for a vocabulary out of a teacher.
    TeachTokens(TeachTokens),
    /// Write a model again with its weights in 32, 16 or 8 bits.
    Store(StoreArgs),
}

/// Options of `vocab`.
#[derive(Debug, Args)]
pub struct Vocab {
    /// Files of texts: .jsonl or .txt, with .zst if compressed.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Folder that receives the tokenizer.
    #[arg(long)]
    out: PathBuf,
    /// What words are cut into, and the special tokens with it: those of BERT, RoBERTa or XLM-R.
    #[arg(long, value_enum, default_value_t = Kind::Wordpiece)]
    kind: Kind,
    /// Entries of the vocabulary.
    #[arg(long, default_value_t = 16_000)]
    size: usize,
    /// Characters kept, the most frequent first; byte pairs have all bytes instead.
    #[arg(long, default_value_t = 400)]
    alphabet: usize,
    /// Keep upper case and accents.
    #[arg(long)]
    cased: bool,
    /// Take one document in so many.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Longest input of the models to come, kept in the tokenizer's files.
    #[arg(long, default_value_t = 512)]
    max_tokens: usize,
}

/// Kinds of vocabularies.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    /// Pieces of words, as BERT.
    Wordpiece,
    /// Pieces of bytes, as RoBERTa.
    Bpe,
    /// Pieces with probabilities, as SentencePiece and XLM-R.
    Unigram,
}

impl From<Kind> for vocabulary::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Wordpiece => Self::Wordpiece,
            Kind::Bpe => Self::Bpe,
            Kind::Unigram => Self::Unigram,
        }
    }
}

/// Options of `teach-tokens`.
#[derive(Debug, Args)]
pub struct TeachTokens {
    /// Folder of the teacher, a sentence-transformers model.
    #[arg(long)]
    model: PathBuf,
    /// Folder of the student's tokenizer.
    #[arg(long)]
    tokenizer: PathBuf,
    /// Width of the student's token vectors.
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// File to write, for `initial_weights` of a recipe.
    #[arg(long)]
    out: PathBuf,
}

/// Runs a command and tells on `screen` what it does; with `show_progress` also how far it is, on a terminal as a
/// bar.
///
/// # Errors
/// Whatever went wrong, with the file or setting it is about.
pub fn run(command: TrainCommand, show_progress: bool, screen: &mut dyn Write) -> Result<Exit> {
    match command {
        TrainCommand::Vocab(options) => train_vocabulary(&options, screen).map(success),
        TrainCommand::Mlm(options) => follow::<MlmRecipe>(&options, show_progress, screen),
        TrainCommand::Ablate(options) => ablate(&options, show_progress, screen),
        TrainCommand::Distil(options) => follow::<DistilRecipe>(&options, show_progress, screen),
        TrainCommand::Sentence(options) => follow::<SentenceRecipe>(&options, show_progress, screen),
        TrainCommand::Classify(options) => follow::<ClassifyRecipe>(&options, show_progress, screen),
        TrainCommand::Tag(options) => follow::<TagRecipe>(&options, show_progress, screen),
        TrainCommand::Reader(options) => follow::<ReaderRecipe>(&options, show_progress, screen),
        TrainCommand::Rerank(options) => follow::<RerankRecipe>(&options, show_progress, screen),
        TrainCommand::Table(options) => table(&options, show_progress, screen),
        TrainCommand::Pairs(options) => gather_pairs(&options, screen).map(success),
        TrainCommand::Mine(options) => mine_pairs(&options, show_progress, screen),
        TrainCommand::Bench(options) => bench(&options, screen).map(success),
        TrainCommand::Teach(options) => teach_pairs(&options, show_progress, screen),
        TrainCommand::TeachTokens(options) => compute_tokens(&options, screen).map(success),
        TrainCommand::Store(options) => store(&options, screen).map(success),
        TrainCommand::Similarity(options) => follow::<SimilarityRecipe>(&options, show_progress, screen),
        TrainCommand::Score(options) => score_pairs(&options, show_progress, screen),
        TrainCommand::Adapt(options) => adapt(&options, show_progress, screen),
    }
}

fn success((): ()) -> Exit {
    Exit::Success
}

fn train_vocabulary(options: &Vocab, screen: &mut dyn Write) -> Result<()> {
    let settings = vocabulary::Settings {
        kind: options.kind.into(),
        size: options.size,
        alphabet_max: options.alphabet,
        lower_case: !options.cased,
        ..vocabulary::Settings::default()
    };
    let mut failure = None;
    let documents = texts::all_documents(&options.files)?.step_by(options.every.max(1));
    // The trainer takes plain texts, so the first damaged line ends the stream and is reported after it.
    let documents = documents.map_while(|text| text.map_err(|e| failure = Some(e)).ok());
    let tokenizer = vocabulary::train(documents, settings)?;
    if let Some(failure) = failure {
        return Err(failure.into());
    }
    std::fs::create_dir_all(&options.out).with_context(|| options.out.display().to_string())?;
    tokenizer.save(&options.out, options.max_tokens)?;
    let sample = texts::all_documents(&options.files)?
        .take(200)
        .collect::<trainer::Result<Vec<_>>>()?;
    let fit = vocabulary::statistics(&tokenizer, sample.iter().map(String::as_str))?;
    writeln!(
        screen,
        "{} entries in {}; on {} words: {:.3} tokens a word, {:.4} % unknown",
        tokenizer.vocabulary_size(),
        options.out.display(),
        fit.words,
        fit.tokens_per_word(),
        100.0 * fit.unknown_rate()
    )?;
    Ok(())
}

fn compute_tokens(options: &TeachTokens, screen: &mut dyn Write) -> Result<()> {
    let (model, tokenizer) = open_sentence(&options.model)?;
    let student = open_tokenizer(&options.tokenizer)?;
    initial::from_teacher(&model, &tokenizer, &student, options.width, &options.out)?;
    writeln!(
        screen,
        "{} token vectors in {}",
        student.vocabulary_size(),
        options.out.display()
    )?;
    Ok(())
}

fn open_sentence(folder: &Path) -> Result<(SentenceEncoder, Tokenizer)> {
    let files = ModelFiles::folder(folder)?;
    Ok((
        SentenceEncoder::open(&files, &encoder::Device::Cpu)?,
        open_tokenizer(folder)?,
    ))
}

pub(crate) fn open_tokenizer(folder: &Path) -> Result<Tokenizer> {
    Tokenizer::from_files(|name| std::fs::read(folder.join(name)).ok())
        .with_context(|| format!("opening the tokenizer in {}", folder.display()))
}
