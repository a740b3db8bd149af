//! Vocabularies are trained, saved and opened again.

use std::error::Error;

use text::Tokenizer;
use text::vocabulary::{Settings, statistics, train_wordpiece};

type Outcome = Result<(), Box<dyn Error>>;

fn texts() -> impl Iterator<Item = String> + Send {
    (0..500).map(|n| {
        let (a, b) = (
            ["index", "search", "merge"][n % 3],
            ["segment", "Größe", "query"][n / 3 % 3],
        );
        format!("The {a}ing of a {b} number {n} merges {b}s, and searches them.")
    })
}

fn settings() -> Settings {
    Settings {
        size: 200,
        alphabet_max: 60,
        ..Settings::default()
    }
}

#[test]
fn learns_frequent_words_and_begins_with_the_special_tokens() -> Outcome {
    let tokenizer = train_wordpiece(texts(), settings())?;
    for (id, token) in ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].iter().enumerate() {
        assert_eq!(tokenizer.id(token), Some(id as u32));
    }
    assert!(tokenizer.vocabulary_size() <= 200);
    let encoding = tokenizer.encode("SEGMENT größe", 16)?;
    let tokens: Vec<_> = encoding
        .ids
        .iter()
        .filter_map(|&id| tokenizer.token(id))
        .collect();
    assert_eq!(tokens, ["[CLS]", "segment", "große", "[SEP]"]);
    Ok(())
}

#[test]
fn opens_from_either_file() -> Outcome {
    let folder = tempfile::tempdir()?;
    let trained = train_wordpiece(texts(), settings())?;
    trained.save(folder.path(), 128)?;
    let read = |name: &str| std::fs::read(folder.path().join(name)).ok();
    let whole = Tokenizer::from_files(read)?;
    let lines = Tokenizer::from_files(|name| {
        if name == "tokenizer.json" {
            None
        } else {
            read(name)
        }
    })?;
    for text in ["Searching the Größe.", "unbekannt 東京 [MASK] ÀÉ"] {
        let expected = trained.encode(text, 64)?;
        assert_eq!(whole.encode(text, 64)?, expected);
        assert_eq!(lines.encode(text, 64)?, expected);
    }
    Ok(())
}

#[test]
fn statistics_count_words_tokens_and_unknowns() -> Outcome {
    let tokenizer = train_wordpiece(texts(), settings())?;
    let fit = statistics(&tokenizer, ["segment query 東"])?;
    assert_eq!((fit.words, fit.tokens, fit.unknown), (3, 3, 1));
    assert!((fit.unknown_rate() - 1.0 / 3.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn too_small_is_refused() {
    let error = train_wordpiece(
        texts(),
        Settings {
            size: 50,
            ..settings()
        },
    );
    assert!(error.is_err_and(|e| e.to_string().contains("size is 50")));
}
