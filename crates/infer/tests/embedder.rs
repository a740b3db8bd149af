//! Texts to vectors with a small untrained model: order, bounds, independence, errors.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use std::path::Path;

use encoder::ModelFiles;
use infer::{Embed, Embedder, InferError, Measured, ModelSettings, Precision, Quality, Role};
use support::{DIMENSION, LONGEST};

fn open_with(folder: &Path, threads: usize, precision: Precision) -> Result<Embedder, InferError> {
    let settings = ModelSettings {
        threads,
        precision: Some(precision),
    };
    Embedder::open(&ModelFiles::folder(folder).unwrap(), &settings)
}

fn open(folder: &Path) -> Embedder {
    open_with(folder, 1, Precision::F32).unwrap()
}

fn refusal(folder: &Path) -> String {
    match open_with(folder, 1, Precision::F32) {
        Err(InferError::Open { model, reason }) => {
            assert!(
                model.contains(folder.file_name().unwrap().to_str().unwrap()),
                "{model}"
            );
            reason
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

fn farthest(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Texts of very different lengths: nothing, one word, and more than the model reads.
fn texts() -> Vec<String> {
    let lengths = [3, 0, 40, 1, 200, 7, 7, 46, 47, 12, 2];
    let text = |(i, &words): (usize, &usize)| {
        let words = (0..words).map(|w| ["rome", "nero", "sang", "fire"][(w * (i + 1)) % 4]);
        words.collect::<Vec<_>>().join(" ")
    };
    lengths.iter().enumerate().map(text).collect()
}

#[test]
fn a_vector_depends_on_its_text_alone() {
    let folder = support::model();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let model = open_with(folder.path(), 1, precision).unwrap();
        let alone: Vec<Vec<f32>> = texts
            .iter()
            .map(|text| model.embed(&[text], Role::Passage).unwrap().remove(0))
            .collect();
        assert!(
            farthest(&alone[0], &alone[3]) > 1e-3,
            "different texts have different vectors"
        );
        let backwards: Vec<&str> = texts.iter().rev().copied().collect();
        for threads in [1, 2, 3] {
            let model = open_with(folder.path(), threads, precision).unwrap();
            assert_eq!(
                model.embed(&texts, Role::Passage).unwrap(),
                alone,
                "{precision}, bit for bit"
            );
            let mut together = model.embed(&backwards, Role::Passage).unwrap();
            together.reverse();
            assert_eq!(together, alone, "{precision}, in another order");
        }
    }
}

#[test]
fn vectors_have_unit_length_and_texts_any_length() {
    let folder = support::model();
    let model = open(folder.path());
    assert!(model.embed(&[], Role::Query).unwrap().is_empty());
    for vector in model
        .embed(&["", " \u{0}\u{200b}", "🦀", &"rome ".repeat(5000)], Role::Query)
        .unwrap()
    {
        assert_eq!((vector.len(), model.dimension()), (DIMENSION, DIMENSION));
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-5);
    }
}

#[test]
fn what_is_beyond_the_longest_input_does_not_count() {
    let folder = support::model();
    let model = open(folder.path());
    assert_eq!(model.tokens_max(), LONGEST);
    let full = "rome ".repeat(LONGEST - 2);
    assert_eq!(model.count_tokens(&full).unwrap() + 2, LONGEST);
    let (longer, shorter) = (format!("{full} nero"), "rome ".repeat(LONGEST - 3));
    let vectors = model.embed(&[&full, &longer, &shorter], Role::Passage).unwrap();
    assert!(farthest(&vectors[0], &vectors[1]) < 1e-6);
    assert!(farthest(&vectors[0], &vectors[2]) > 1e-6);
}

#[test]
fn chunks_fit_the_model() {
    let folder = support::model();
    let model = open(folder.path());
    let text = "the great fire of rome burned for six days. ".repeat(20);
    let chunks = model.chunk(&text, LONGEST, 8).unwrap();
    assert!(chunks.len() > 3);
    for chunk in chunks {
        assert!(model.count_tokens(&text[chunk]).unwrap() + 2 <= LONGEST);
    }
    assert!(matches!(
        model.chunk(&text, 2, 0),
        Err(InferError::Tokenize { .. })
    ));
    assert!(matches!(
        model.chunk(&text, 10, 8),
        Err(InferError::Tokenize { .. })
    ));
}

#[test]
fn prompts_stand_before_the_text_of_their_role() {
    let folder = support::model();
    let prompts = r#"{"prompts": {"query": "nero ", "passage": "rome fire "}}"#;
    std::fs::write(folder.path().join("config_sentence_transformers.json"), prompts).unwrap();
    let prompted = open(folder.path());
    assert_eq!(
        prompted.tokens_max(),
        LONGEST - 2,
        "the longer prompt is taken off"
    );
    std::fs::remove_file(folder.path().join("config_sentence_transformers.json")).unwrap();
    let plain = open(folder.path());
    assert_ne!(plain.fingerprint(), prompted.fingerprint());
    for (role, whole) in [(Role::Query, "nero sang"), (Role::Passage, "rome fire sang")] {
        let (with, without) = (
            prompted.embed(&["sang"], role).unwrap(),
            plain.embed(&[whole], role).unwrap(),
        );
        assert!(farthest(&with[0], &without[0]) < 1e-6);
    }
}

#[test]
fn a_folder_that_is_no_model_is_refused_by_name() {
    let folder = support::model();
    let file = |name: &str| folder.path().join(name);

    std::fs::write(
        file("sentence_bert_config.json"),
        r#"{"max_seq_length": 48, "do_lower_case": true}"#,
    )
    .unwrap();
    assert!(refusal(folder.path()).contains("do_lower_case"));
    std::fs::remove_file(file("sentence_bert_config.json")).unwrap();
    assert_eq!(
        open(folder.path()).tokens_max(),
        64,
        "max_position_embeddings without the file"
    );

    std::fs::write(file("config_sentence_transformers.json"), "{\"prompts\": 3}").unwrap();
    assert!(refusal(folder.path()).contains("config_sentence_transformers.json"));
    std::fs::remove_file(file("config_sentence_transformers.json")).unwrap();

    std::fs::write(file("tokenizer.json"), "{").unwrap();
    assert!(refusal(folder.path()).contains("tokenizer.json"));
    std::fs::remove_file(file("tokenizer.json")).unwrap();
    assert!(
        open_with(folder.path(), 1, Precision::F32).is_ok(),
        "vocab.txt takes its place"
    );

    let mut vocabulary = std::fs::read_to_string(file("vocab.txt")).unwrap();
    vocabulary.push_str("another\n");
    std::fs::write(file("vocab.txt"), vocabulary).unwrap();
    assert!(refusal(folder.path()).contains("not of one model"));
    std::fs::remove_file(file("vocab.txt")).unwrap();
    assert!(refusal(folder.path()).contains("no tokenizer"));

    let folder = support::model();
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    assert!(refusal(folder.path()).contains("model.safetensors"));
}

#[test]
fn settings_out_of_range_are_refused() {
    let folder = support::model();
    match open_with(folder.path(), 0, Precision::F32) {
        Err(InferError::Setting { field, value: 0, .. }) => assert_eq!(field, "threads"),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("opened"),
    }
}

#[test]
fn a_million_texts_and_a_text_of_a_million_characters() {
    let folder = support::model();
    let model = open_with(folder.path(), 2, Precision::Int8).unwrap();
    let texts = vec!["rome"; 1_000_000];
    let vectors = model.embed(&texts, Role::Passage).unwrap();
    assert_eq!(vectors.len(), texts.len());
    assert!(vectors.iter().all(|vector| vector == &vectors[0]));
    drop(vectors);

    for part in ["a", "a ", "é", "日", "\0", "\u{301}"] {
        let long = part.repeat(1_000_000);
        let vector = &model.embed(&[&long], Role::Passage).unwrap()[0];
        let cut = part.repeat(2000);
        let length: f32 = vector.iter().map(|x| x * x).sum();
        assert!((length - 1.0).abs() < 1e-3, "{part:?}");
        // A word of more than a hundred letters is unknown however long it is, and the rest is cut away.
        assert_eq!(
            vector,
            &model.embed(&[&cut], Role::Passage).unwrap()[0],
            "{part:?}"
        );
    }
    assert!(model.embed(&[], Role::Query).unwrap().is_empty());
}

#[test]
fn a_precision_that_was_measured_to_be_enough_is_the_default() {
    let folder = support::model();
    let files = ModelFiles::folder(folder.path()).unwrap();
    let settings = |precision| ModelSettings {
        threads: 1,
        precision,
    };
    let opened = |precision| {
        let model = Embedder::open(&files, &settings(precision)).unwrap();
        (model.precision(), model.notes().len())
    };
    assert_eq!(opened(None), (Precision::F32, 0));

    let fingerprint = open(folder.path()).fingerprint().to_owned();
    let measured = |ndcg_at_10| Measured {
        precision: "int8".into(),
        collection: "a".into(),
        queries: 10,
        ndcg_at_10_f32: 0.7,
        ndcg_at_10,
    };
    Quality::keep(&files, &fingerprint, vec![measured(0.698)]).unwrap();
    assert_eq!(opened(None), (Precision::Int8, 0));
    assert_eq!(opened(Some(Precision::F32)), (Precision::F32, 0));
    Quality::keep(&files, &fingerprint, vec![measured(0.69)]).unwrap();
    assert_eq!(opened(None), (Precision::F32, 0));
    assert_eq!(opened(Some(Precision::Int8)), (Precision::Int8, 1));

    // What was measured of another model says nothing of this one, which is told as a damaged file is.
    Quality::keep(&files, "another", vec![measured(0.7)]).unwrap();
    assert_eq!(opened(None), (Precision::F32, 1));
    std::fs::write(folder.path().join("precision.json"), "{").unwrap();
    assert_eq!(opened(None), (Precision::F32, 1));
}
