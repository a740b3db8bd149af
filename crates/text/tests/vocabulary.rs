//! Vocabularies are trained, saved and opened again.

use std::error::Error;

use text::Tokenizer;
use text::vocabulary::{Kind, Settings, statistics, train};

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
    let tokenizer = train(texts(), settings())?;
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
    let trained = train(texts(), settings())?;
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
    let tokenizer = train(texts(), settings())?;
    let fit = statistics(&tokenizer, ["segment query 東"])?;
    assert_eq!((fit.words, fit.tokens, fit.unknown), (3, 3, 1));
    assert!((fit.unknown_rate() - 1.0 / 3.0).abs() < 1e-12);
    Ok(())
}

#[test]
fn too_small_is_refused() {
    let error = train(
        texts(),
        Settings {
            size: 50,
            ..settings()
        },
    );
    assert!(error.is_err_and(|e| e.to_string().contains("size is 50")));
}

fn settings_of(kind: Kind) -> Settings {
    Settings {
        kind,
        size: 400,
        ..settings()
    }
}

#[test]
fn the_roberta_family_begins_with_its_special_tokens_and_frames_texts_with_them() -> Outcome {
    for kind in [Kind::Bpe, Kind::Unigram] {
        let tokenizer = train(texts(), settings_of(kind))?;
        for (id, token) in ["<s>", "<pad>", "</s>", "<unk>", "<mask>"].iter().enumerate() {
            assert_eq!(tokenizer.id(token), Some(id as u32), "{kind:?}");
        }
        assert!(tokenizer.vocabulary_size() <= 400, "{kind:?}");
        let special = tokenizer.special();
        assert_eq!((special.pad, special.unknown), (1, 3));
        assert_eq!(
            (special.cls, special.sep, special.mask),
            (Some(0), Some(2), Some(4))
        );
        let pair = tokenizer.encode_pair("segment", "query", 16)?;
        let first = tokenizer.encode("segment", 16)?;
        assert_eq!((first.ids[0], first.ids[first.len() - 1]), (0, 2));
        assert_eq!(pair.ids[first.len() - 1..first.len() + 1], [2, 2], "{kind:?}");
        // A frequent word is one piece, wherever it stands; the case does not matter, accents neither.
        let within = tokenizer.encode("SEGMENT größe segment", 16)?;
        assert_eq!(within.len(), 5, "{kind:?}");
        assert_eq!(within.ids[1], within.ids[3], "{kind:?}");
        assert_eq!(tokenizer.decode(&within.ids)?.trim(), "segment große segment");
    }
    Ok(())
}

#[test]
fn bytes_are_never_unknown_and_rare_characters_of_unigrams_are() -> Outcome {
    let bytes = train(texts(), settings_of(Kind::Bpe))?;
    let cased = train(
        texts(),
        Settings {
            lower_case: false,
            ..settings_of(Kind::Bpe)
        },
    )?;
    assert_eq!(statistics(&bytes, ["segment 東京"])?.unknown, 0);
    let text = "Größe 東京 É";
    assert_eq!(cased.decode(&cased.encode(text, 64)?.ids)?.trim(), text);
    let rare = texts().chain(["東京 segment".to_owned()]);
    let unigrams = train(rare, settings_of(Kind::Unigram))?;
    assert!(unigrams.id("東").is_some(), "the alphabet has room");
    let few = Settings {
        alphabet_max: 20,
        ..settings_of(Kind::Unigram)
    };
    let unigrams = train(texts().chain(["東京 segment".to_owned()]), few)?;
    assert!(unigrams.id("東").is_none());
    let fit = statistics(&unigrams, ["segment 東"])?;
    assert_eq!((fit.words, fit.unknown), (2, 1));
    Ok(())
}

#[test]
fn every_kind_opens_again_with_the_same_ids() -> Outcome {
    for kind in [Kind::Bpe, Kind::Unigram] {
        let folder = tempfile::tempdir()?;
        let trained = train(texts(), settings_of(kind))?;
        trained.save(folder.path(), 128)?;
        let opened = Tokenizer::from_files(|name| std::fs::read(folder.path().join(name)).ok())?;
        assert_eq!(opened.special(), trained.special());
        for text in ["Searching the Größe.", "unbekannt 東京 <mask> ÀÉ"] {
            assert_eq!(opened.encode(text, 64)?, trained.encode(text, 64)?, "{kind:?}");
        }
    }
    Ok(())
}

#[test]
fn sizes_without_room_for_an_alphabet_and_texts_without_words_are_refused() {
    for (kind, size) in [(Kind::Bpe, 260), (Kind::Unigram, 64)] {
        let small = Settings {
            size,
            ..settings_of(kind)
        };
        let error = train(texts(), small);
        assert!(error.is_err_and(|e| e.to_string().contains(&format!("size is {size}"))));
    }
    let none = train(std::iter::empty(), settings_of(Kind::Unigram));
    assert!(none.is_err_and(|e| e.to_string().contains("no words")));
}
