//! What models give here, against the same models through the differentiable operations of `encoder`.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use encoder::{
    Activation, Batch, Config, DType, Device, MaskedLm, ModelFiles, PairScorer, Parameters, Pass, Pooling,
    SentenceEncoder, SpanReader, Tensor, TokenTagger,
};
use infer::{Embed, Embedder, InferError, ModelSettings, Precision, Rerank, Reranker, Role, TokenModel};
use text::Tokenizer;

const PRECISIONS: [(Precision, f32); 3] = [
    (Precision::F32, 1.0 - 1e-6),
    (Precision::Bf16, 0.999),
    (Precision::Int8, 0.99),
];

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn texts() -> Vec<String> {
    [0, 1, 2, 5, 17, 30, 46, 47, 90]
        .map(|words| {
            let words = (0..words).map(|at| ["rome", "nero", "sang", "fire", "days"][at * at % 5]);
            words.collect::<Vec<_>>().join(" ")
        })
        .to_vec()
}

/// Sizes that are no multiples of a vector, every pooling, activation and direction of attention.
fn shapes(tokenizer: &Tokenizer) -> Vec<(Config, Pooling, Option<usize>)> {
    let config = |hidden, heads, intermediate, hidden_act, is_decoder| Config {
        vocab_size: tokenizer.vocabulary_size(),
        hidden_size: hidden,
        num_hidden_layers: 3,
        num_attention_heads: heads,
        intermediate_size: intermediate,
        max_position_embeddings: 64,
        initializer_range: 0.15,
        hidden_act,
        is_decoder,
        ..Config::tiny()
    };
    vec![
        (config(32, 4, 64, Activation::Gelu, false), Pooling::Mean, None),
        (
            config(36, 4, 75, Activation::GeluTanh, false),
            Pooling::Cls,
            Some(20),
        ),
        (config(72, 2, 130, Activation::Relu, true), Pooling::Max, Some(48)),
        (config(128, 2, 200, Activation::Gelu, true), Pooling::Mean, None),
    ]
}

#[test]
fn vectors_are_those_of_the_encoder() {
    let folder = support::model();
    let tokenizer = Tokenizer::from_files(|name| std::fs::read(folder.path().join(name)).ok()).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (at, (config, pooling, dense)) in shapes(&tokenizer).into_iter().enumerate() {
        let params = Parameters::fresh(at as u64, &Device::Cpu);
        let model = SentenceEncoder::fresh(&params, &config, pooling, dense, true).unwrap();
        model.save(folder.path(), DType::F32, support::LONGEST).unwrap();
        tokenizer.save(folder.path(), support::LONGEST).unwrap();
        let encoded = tokenizer.encode_batch(&texts, support::LONGEST).unwrap();
        let ids: Vec<Vec<u32>> = encoded.into_iter().map(|encoding| encoding.ids).collect();
        let batch = Batch::new(&ids, None, tokenizer.special().pad, &Device::Cpu).unwrap();
        let expected = model.forward(&batch, &mut Pass::infer()).unwrap();
        let expected = expected.to_vec2::<f32>().unwrap();
        let files = ModelFiles::folder(folder.path()).unwrap();
        for (precision, least) in PRECISIONS {
            let embedder = Embedder::open(
                &files,
                &ModelSettings {
                    threads: 2,
                    precision: Some(precision),
                },
            )
            .unwrap();
            let found = embedder.embed(&texts, Role::Passage).unwrap();
            for (text, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let cosine = cosine(found, expected);
                assert!(
                    cosine >= least,
                    "model {at}, text {text}, {precision}: cosine {cosine}"
                );
                if precision == Precision::F32 {
                    let off = found
                        .iter()
                        .zip(expected)
                        .map(|(a, b)| (a - b).abs())
                        .fold(0.0, f32::max);
                    assert!(off < 1e-5, "model {at}, text {text}: {off}");
                }
            }
        }
    }
}

#[test]
fn scores_are_those_of_the_encoder() {
    let folder = support::pair_model(1);
    let files = ModelFiles::folder(folder.path()).unwrap();
    let tokenizer = Tokenizer::from_files(|name| std::fs::read(folder.path().join(name)).ok()).unwrap();
    let model = PairScorer::open(&files, &Device::Cpu).unwrap();
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let pairs = texts.iter().map(|text| {
        let pair = tokenizer.encode_pair("who sang", text, support::LONGEST).unwrap();
        (pair.ids, pair.type_ids)
    });
    let (ids, types): (Vec<_>, Vec<_>) = pairs.unzip();
    let batch = Batch::new(&ids, Some(&types), tokenizer.special().pad, &Device::Cpu).unwrap();
    let logits = model.forward(&batch, &mut Pass::infer()).unwrap();
    let logits: Vec<f32> = logits.flatten_all().unwrap().to_vec1().unwrap();
    for (precision, bound) in [
        (Precision::F32, 1e-5),
        (Precision::Bf16, 0.03),
        (Precision::Int8, 0.1),
    ] {
        let reranker = Reranker::open(
            &files,
            &ModelSettings {
                threads: 2,
                precision: Some(precision),
            },
        )
        .unwrap();
        let scores = reranker.score("who sang", &texts).unwrap();
        for (score, logit) in scores.iter().zip(&logits) {
            let expected = 1.0 / (1.0 + (-logit).exp());
            assert!(
                (score - expected).abs() < bound,
                "{precision}: {score} for {expected}"
            );
        }
    }
}

/// Logits of every token of a pair: from `encoder`, and from here in f32.
fn compare(
    folder: &std::path::Path,
    tokenizer: &Tokenizer,
    expected: impl Fn(&Batch) -> Tensor,
    open: impl Fn(&ModelFiles, &ModelSettings) -> Result<TokenModel, InferError>,
) {
    tokenizer.save(folder, support::LONGEST).unwrap();
    let pair = ("who sang", "nero sang while rome burned six days");
    let encoding = tokenizer.encode_pair(pair.0, pair.1, support::LONGEST).unwrap();
    let types = vec![encoding.type_ids.clone()];
    let pad = tokenizer.special().pad;
    let batch = Batch::new(
        std::slice::from_ref(&encoding.ids),
        Some(&types),
        pad,
        &Device::Cpu,
    )
    .unwrap();
    let expected: Vec<Vec<f32>> = expected(&batch).squeeze(0).unwrap().to_vec2().unwrap();
    let model = open(&ModelFiles::folder(folder).unwrap(), &ModelSettings::new(2)).unwrap();
    let found = model.logits(&[(pair.0, Some(pair.1)), ("rome", None)]).unwrap();
    assert_eq!((found.len(), &found[0].encoding), (2, &encoding));
    assert_eq!(found[0].logits.len(), expected.len());
    for (found, expected) in found[0].logits.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 1e-5, "{found} for {expected}");
    }
}

#[test]
fn logits_of_tokens_are_those_of_the_encoder() {
    let folder = support::model();
    let tokenizer = Tokenizer::from_files(|name| std::fs::read(folder.path().join(name)).ok()).unwrap();
    let mut config = shapes(&tokenizer)[1].0.clone();
    config.extra.insert("num_labels".to_owned(), 5.into());
    let folder = tempfile::tempdir().unwrap();
    let params = || Parameters::fresh(3, &Device::Cpu);

    let model = TokenTagger::new(&params(), &config).unwrap();
    model.save(folder.path(), DType::F32).unwrap();
    let forward = |batch: &Batch| model.forward(batch, &mut Pass::infer()).unwrap();
    compare(folder.path(), &tokenizer, forward, TokenModel::tagger);

    let model = SpanReader::new(&params(), &config).unwrap();
    model.save(folder.path(), DType::F32).unwrap();
    let forward = |batch: &Batch| model.forward(batch, &mut Pass::infer()).unwrap();
    compare(folder.path(), &tokenizer, forward, TokenModel::reader);

    let model = MaskedLm::new(&params(), &config).unwrap();
    model.save(folder.path(), DType::F32).unwrap();
    let forward = |batch: &Batch| model.forward(batch, &mut Pass::infer()).unwrap();
    compare(folder.path(), &tokenizer, forward, TokenModel::masked_lm);
    assert!(
        TokenModel::tagger(
            &ModelFiles::folder(folder.path()).unwrap(),
            &ModelSettings::new(1)
        )
        .is_err()
    );
}

#[test]
fn several_threads_on_one_text_change_no_bit() {
    let folder = support::model();
    let tokenizer = Tokenizer::from_files(|name| std::fs::read(folder.path().join(name)).ok()).unwrap();
    let config = Config {
        vocab_size: tokenizer.vocabulary_size(),
        hidden_size: 256,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        intermediate_size: 512,
        max_position_embeddings: 512,
        initializer_range: 0.1,
        ..Config::tiny()
    };
    let model = SentenceEncoder::fresh(
        &Parameters::fresh(5, &Device::Cpu),
        &config,
        Pooling::Mean,
        None,
        true,
    );
    model.unwrap().save(folder.path(), DType::F32, 512).unwrap();
    tokenizer.save(folder.path(), 512).unwrap();
    let files = ModelFiles::folder(folder.path()).unwrap();
    let mut texts = texts();
    texts.push("nero sang ".repeat(300));
    for (precision, _) in PRECISIONS {
        let open = |threads| {
            Embedder::open(
                &files,
                &ModelSettings {
                    threads,
                    precision: Some(precision),
                },
            )
            .unwrap()
        };
        let one = open(1);
        for several in [open(2), open(3), open(4)] {
            for text in &texts {
                let vector = |model: &Embedder| model.embed(&[text], Role::Query).unwrap();
                assert_eq!(vector(&one), vector(&several), "{precision}");
            }
            // Requests that come at the same time: one of them gets the team.
            std::thread::scope(|scope| {
                for text in &texts {
                    let (one, several) = (&one, &several);
                    scope.spawn(move || {
                        let vector = |model: &Embedder| model.embed(&[text], Role::Query).unwrap();
                        assert_eq!(vector(one), vector(several));
                    });
                }
            });
        }
    }
}
