//! Small untrained models in folders.
#![allow(dead_code, reason = "each test program uses a part")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use encoder::{Config, DType, Device, PairScorer, Parameters, Pooling, SentenceEncoder, SpanReader};
use tempfile::TempDir;
use text::Tokenizer;
use text::vocabulary::{Settings, train};

/// Longest input of the models, in tokens.
pub(crate) const LONGEST: usize = 48;
/// Components of a vector.
pub(crate) const DIMENSION: usize = 32;

/// A bi-encoder without a normalising module, so that its own vectors have any length.
pub(crate) fn model() -> TempDir {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer();
    let params = Parameters::fresh(7, &Device::Cpu);
    let model = SentenceEncoder::fresh(&params, &config(&tokenizer), Pooling::Mean, None, false).unwrap();
    model.save(folder.path(), DType::F32, LONGEST).unwrap();
    tokenizer.save(folder.path(), LONGEST).unwrap();
    folder
}

/// A cross-encoder of that many labels.
pub(crate) fn pair_model(labels: usize) -> TempDir {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer();
    let mut config = config(&tokenizer);
    config.extra.insert("num_labels".to_owned(), labels.into());
    let model = PairScorer::new(&Parameters::fresh(7, &Device::Cpu), &config).unwrap();
    model.save(folder.path(), DType::F32).unwrap();
    tokenizer.save(folder.path(), LONGEST).unwrap();
    folder
}

/// A reader whose weights follow a seed.
pub(crate) fn reader_model(seed: u64) -> TempDir {
    let folder = TempDir::new().unwrap();
    let tokenizer = tokenizer();
    let model = SpanReader::new(&Parameters::fresh(seed, &Device::Cpu), &config(&tokenizer)).unwrap();
    model.save(folder.path(), DType::F32).unwrap();
    tokenizer.save(folder.path(), LONGEST).unwrap();
    folder
}

fn tokenizer() -> Tokenizer {
    let texts = [
        "the great fire of rome burned for six days",
        "nero sang, 0123456789",
    ];
    let settings = Settings {
        size: 200,
        min_frequency: 1,
        alphabet_max: 40,
        lower_case: true,
        ..Settings::default()
    };
    train(texts.into_iter().map(str::to_owned), settings).unwrap()
}

fn config(tokenizer: &Tokenizer) -> Config {
    Config {
        vocab_size: tokenizer.vocabulary_size(),
        hidden_size: DIMENSION,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 64,
        max_position_embeddings: 64,
        initializer_range: 0.2,
        ..Config::tiny()
    }
}
