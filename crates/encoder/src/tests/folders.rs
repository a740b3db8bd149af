//! Writing and opening model folders, and what is refused.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};

use super::gradients::{ragged, small};
use crate::{
    Config, Error, MaskedLm, ModelFiles, PairScorer, Parameters, Pass, Pooling, SentenceEncoder, Storage,
    StoredWeights, TokenTagger, store,
};

fn params() -> Parameters {
    Parameters::fresh(11, &Device::Cpu)
}

fn values(x: &Tensor) -> Vec<f32> {
    x.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_sentence_model_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    // Half of the distance between neighbouring values near one, through a few layers.
    for (dtype, limit) in [(DType::F32, 0.0), (DType::F16, 1e-2), (DType::BF16, 1e-1)] {
        for (pooling, dense) in [
            (Pooling::Cls, None),
            (Pooling::Mean, Some(5)),
            (Pooling::Max, None),
        ] {
            let model = SentenceEncoder::fresh(&params(), &small(), pooling, dense, dense.is_some()).unwrap();
            let path = folder.path().join(format!("{dtype:?}-{pooling:?}"));
            model.save(&path, dtype, 7).unwrap();
            let opened = SentenceEncoder::open(&ModelFiles::folder(&path).unwrap(), &Device::Cpu).unwrap();
            assert_eq!((opened.pooling(), opened.max_seq_length()), (pooling, 7));
            let vectors =
                |model: &SentenceEncoder| values(&model.forward(&ragged(), &mut Pass::infer()).unwrap());
            for (a, b) in vectors(&model).iter().zip(vectors(&opened)) {
                assert!((a - b).abs() <= limit, "{dtype:?} {pooling:?}: {a} {b}");
            }
        }
    }
}

#[test]
fn a_model_stored_in_fewer_bits_answers_alike_and_8_bits_are_scaled_by_row() {
    let folder = tempfile::tempdir().unwrap();
    let model = SentenceEncoder::fresh(&params(), &small(), Pooling::Mean, Some(5), true).unwrap();
    let whole = folder.path().join("whole");
    model.save(&whole, DType::F32, 7).unwrap();
    let whole = ModelFiles::folder(&whole).unwrap();
    let vectors = |files: &ModelFiles| {
        let model = SentenceEncoder::open(files, &Device::Cpu).unwrap();
        values(&model.forward(&ragged(), &mut Pass::infer()).unwrap())
    };
    let mut sizes = Vec::new();
    for (storage, limit) in [(Storage::F32, 0.0), (Storage::F16, 5e-3), (Storage::Int8, 5e-2)] {
        let path = folder.path().join(format!("{storage:?}"));
        sizes.push(store(&whole, &path, storage, None).unwrap());
        let files = ModelFiles::folder(&path).unwrap();
        for (a, b) in vectors(&whole).iter().zip(vectors(&files)) {
            assert!((a - b).abs() <= limit, "{storage:?}: {a} {b}");
        }
        // Each value is at most half a step of its row away.
        let name = "encoder.layer.0.output.dense.weight";
        let shape = [small().hidden_size, small().intermediate_size];
        let read = |files| {
            StoredWeights::open(files, "model.safetensors")
                .unwrap()
                .get(name, &shape)
                .unwrap()
        };
        let (exact, found) = (read(&whole), read(&files));
        for (exact, found) in exact.chunks(shape[1]).zip(found.chunks(shape[1])) {
            let greatest = exact.iter().fold(0f32, |most, value| most.max(value.abs()));
            let step = match storage {
                Storage::F32 => 0.0,
                Storage::F16 => greatest / 1024.0,
                Storage::Int8 => greatest / 127.0,
            };
            for (exact, found) in exact.iter().zip(found) {
                assert!(
                    (exact - found).abs() <= 0.5001 * step,
                    "{storage:?}: {exact} {found}"
                );
            }
        }
    }
    // In a model as small as this one the names of the scales weigh more than what 8 bits save over 16.
    assert!(sizes[0] > sizes[1] && sizes[0] > sizes[2], "{sizes:?}");
}

#[test]
fn entries_that_are_left_out_take_their_rows_along() {
    let folder = tempfile::tempdir().unwrap();
    let model = SentenceEncoder::fresh(&params(), &small(), Pooling::Mean, None, true).unwrap();
    let (whole, fewer) = (folder.path().join("whole"), folder.path().join("fewer"));
    model.save(&whole, DType::F32, 7).unwrap();
    let whole = ModelFiles::folder(&whole).unwrap();
    // All but one entry, which none of the texts below has.
    let left_out = 7;
    let kept: Vec<u32> = (0..small().vocab_size as u32)
        .filter(|&id| id != left_out)
        .collect();
    store(&whole, &fewer, Storage::F32, Some(&kept)).unwrap();
    let opened = SentenceEncoder::open(&ModelFiles::folder(&fewer).unwrap(), &Device::Cpu).unwrap();
    assert_eq!(opened.bert().config().vocab_size, kept.len());
    let rows = [
        vec![kept[3], kept[5]],
        vec![*kept.last().unwrap(), kept[4], kept[3]],
    ];
    let renumbered = rows.each_ref().map(|row| {
        row.iter()
            .map(|id| kept.binary_search(id).unwrap() as u32)
            .collect()
    });
    let vectors = |model: &SentenceEncoder, rows: &[Vec<u32>]| {
        let batch = crate::Batch::new(rows, None, 0, &Device::Cpu).unwrap();
        values(&model.forward(&batch, &mut Pass::infer()).unwrap())
    };
    assert_eq!(vectors(&opened, &renumbered), vectors(&model, &rows));
    let beyond = [small().vocab_size as u32];
    let error = store(&whole, &fewer, Storage::F32, Some(&beyond)).unwrap_err();
    assert!(matches!(error, Error::UnknownId { .. }), "{error}");
}

#[test]
fn numbers_of_8_bits_without_their_scales_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, small_path) = (folder.path().join("whole"), folder.path().join("int8"));
    SentenceEncoder::fresh(&params(), &small(), Pooling::Mean, None, true)
        .unwrap()
        .save(&whole, DType::F32, 7)
        .unwrap();
    store(
        &ModelFiles::folder(&whole).unwrap(),
        &small_path,
        Storage::Int8,
        None,
    )
    .unwrap();
    let file = small_path.join("model.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    let name = b"embeddings.word_embeddings.weight.scales";
    let at = bytes.windows(name.len()).position(|part| part == name).unwrap();
    let mut other = bytes.clone();
    other[at] = b'E';
    std::fs::write(&file, other).unwrap();
    let error = SentenceEncoder::open(&ModelFiles::folder(&small_path).unwrap(), &Device::Cpu)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("embeddings.word_embeddings.weight.scales"),
        "{error}"
    );
}

#[test]
fn unknown_settings_are_kept() {
    let mut config = small();
    config.extra.insert(
        "id2label".into(),
        serde_json::json!({"0": "O", "1": "PER", "2": "LOC"}),
    );
    config
        .extra
        .insert("my_note".into(), serde_json::json!([1, "two"]));
    let folder = tempfile::tempdir().unwrap();
    TokenTagger::new(&params(), &config)
        .unwrap()
        .save(folder.path(), DType::F32)
        .unwrap();
    let files = ModelFiles::folder(folder.path()).unwrap();
    let opened = TokenTagger::open(&files, &Device::Cpu).unwrap();
    assert_eq!(
        opened.bert.config().extra["my_note"],
        serde_json::json!([1, "two"])
    );
    assert_eq!(
        opened.forward(&ragged(), &mut Pass::infer()).unwrap().dims(),
        [4, 9, 3]
    );
}

/// Writes a masked language model and lets `change` edit its weights.
fn damaged(change: impl Fn(&mut HashMap<String, Tensor>)) -> (tempfile::TempDir, ModelFiles) {
    let folder = tempfile::tempdir().unwrap();
    MaskedLm::new(&params(), &small())
        .unwrap()
        .save(folder.path(), DType::F32)
        .unwrap();
    let path = folder.path().join("model.safetensors");
    let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
    change(&mut weights);
    candle_core::safetensors::save(&weights, &path).unwrap();
    let files = ModelFiles::folder(folder.path()).unwrap();
    (folder, files)
}

fn rename(weights: &mut HashMap<String, Tensor>, new_name: impl Fn(&str) -> String) {
    *weights = weights
        .drain()
        .map(|(name, weight)| (new_name(&name), weight))
        .collect();
}

#[test]
fn names_without_prefix_and_of_old_checkpoints_are_found() {
    let logits = |files: &ModelFiles| {
        let model = MaskedLm::open(files, &Device::Cpu).unwrap();
        values(&model.forward(&ragged(), &mut Pass::infer()).unwrap())
    };
    let expected = logits(&damaged(|_| ()).1);
    let old = |name: &str| {
        name.replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let (_folder, files) = damaged(|weights| rename(weights, |name| old(name.trim_start_matches("bert."))));
    assert_eq!(logits(&files), expected);
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let name = "bert.encoder.layer.1.output.dense.weight";
    let (folder, files) = damaged(|weights| drop(weights.remove(name)));
    let error = MaskedLm::open(&files, &Device::Cpu).unwrap_err();
    let Error::MissingWeight {
        file,
        name: missing,
        expected,
    } = &error
    else {
        panic!("{error}")
    };
    assert_eq!(
        (missing.as_str(), expected.as_slice()),
        (name, [12, 20].as_slice())
    );
    assert_eq!(Path::new(file), folder.path().join("model.safetensors"));

    let (_folder, files) = damaged(|weights| {
        let turned = weights[name].t().unwrap().contiguous().unwrap();
        weights.insert(name.into(), turned);
    });
    let error = MaskedLm::open(&files, &Device::Cpu).unwrap_err();
    let Error::WeightShape { expected, found, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        (expected.as_slice(), found.as_slice()),
        ([12, 20].as_slice(), [20, 12].as_slice())
    );

    let bias = "bert.encoder.layer.1.output.dense.bias";
    for bad in [f32::NAN, f32::INFINITY] {
        let (_folder, files) = damaged(|weights| {
            let mut values = [0.0; 12];
            values[1] = bad;
            weights.insert(bias.into(), Tensor::new(&values, &Device::Cpu).unwrap());
        });
        let error = MaskedLm::open(&files, &Device::Cpu).unwrap_err();
        assert!(
            matches!(&error, Error::WeightNotFinite { name, at: 1, .. } if name == bias),
            "{error}"
        );
    }
}

#[test]
fn a_configuration_that_does_not_match_is_refused() {
    for (field, value) in [
        ("num_hidden_layers", 1),
        ("num_hidden_layers", 3),
        ("hidden_size", 15),
        ("num_attention_heads", 5),
        ("vocab_size", 22),
        ("vocab_size", 0),
        ("max_position_embeddings", 10),
        ("type_vocab_size", 1),
        ("pad_token_id", 23),
    ] {
        let (folder, files) = damaged(|_| ());
        let path = folder.path().join("config.json");
        let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        config[field] = value.into();
        std::fs::write(&path, config.to_string()).unwrap();
        assert!(MaskedLm::open(&files, &Device::Cpu).is_err(), "{field} = {value}");
    }
    for text in ["", "[]", "{\"vocab_size\": 3}", "{\"hidden_act\": \"swish\"}"] {
        assert!(
            matches!(
                Config::from_json(text.as_bytes(), "config.json"),
                Err(Error::Json { .. })
            ),
            "{text}"
        );
    }
}

#[test]
fn a_damaged_weight_file_is_an_error_and_no_panic() {
    let (folder, _) = damaged(|_| ());
    let bytes = std::fs::read(folder.path().join("model.safetensors")).unwrap();
    let open = |bytes: &[u8]| StoredWeights::from_bytes(bytes.to_vec(), "model.safetensors");
    assert!(open(&bytes).is_ok());
    for length in (0..bytes.len()).step_by(97).chain([7, 8, 9, bytes.len() - 1]) {
        assert!(
            matches!(open(&bytes[..length]), Err(Error::Safetensors { .. })),
            "{length} bytes"
        );
    }
    for lie in [0, 1, bytes.len() as u64, 1 << 40, u64::MAX] {
        let mut bytes = bytes.clone();
        bytes[..8].copy_from_slice(&lie.to_le_bytes());
        assert!(
            matches!(open(&bytes), Err(Error::Safetensors { .. })),
            "header of {lie} bytes"
        );
    }
    let header = br#"{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]}}"#;
    let lying = [&(header.len() as u64).to_le_bytes(), header.as_slice(), &[0; 4]].concat();
    assert!(matches!(open(&lying), Err(Error::Safetensors { .. })));
}

#[test]
fn a_missing_folder_or_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        ModelFiles::folder(folder.path().join("none")),
        Err(Error::Io { .. })
    ));
    let files = ModelFiles::folder(folder.path()).unwrap();
    let error = PairScorer::open(&files, &Device::Cpu).unwrap_err();
    assert!(
        matches!(&error, Error::MissingFile { file, .. } if file == "config.json"),
        "{error}"
    );
}

#[test]
fn the_fingerprint_changes_with_every_file_that_counts() {
    const FILES: &[(&str, &[u8])] = &[("config.json", b"{}"), ("vocab.txt", b"a"), ("README.md", b"x")];
    const OTHER: &[(&str, &[u8])] = &[("config.json", b"{}"), ("vocab.txt", b"b"), ("README.md", b"x")];
    const SAME: &[(&str, &[u8])] = &[("config.json", b"{}"), ("vocab.txt", b"a"), ("README.md", b"y")];
    let print = |files| ModelFiles::embedded("m", files).fingerprint().unwrap();
    assert_ne!(print(FILES), print(OTHER));
    assert_eq!(print(FILES), print(SAME));
    assert_eq!(print(FILES).as_str().len(), 64);
}

#[test]
fn bad_batches_are_refused() {
    let model = SentenceEncoder::fresh(&params(), &small(), Pooling::Mean, None, false).unwrap();
    let batch =
        |rows: &[Vec<u32>], types: Option<&[Vec<u32>]>| crate::Batch::new(rows, types, 0, &Device::Cpu);
    assert!(matches!(batch(&[], None), Err(Error::Batch { row: 0, .. })));
    assert!(matches!(
        batch(&[vec![1], vec![]], None),
        Err(Error::Batch { row: 1, .. })
    ));
    assert!(matches!(
        batch(&[vec![1, 2]], Some(&[vec![0]])),
        Err(Error::Batch { row: 0, .. })
    ));
    let forward = |rows: Vec<u32>, types: Option<&[Vec<u32>]>| {
        model
            .forward(&batch(&[rows], types).unwrap(), &mut Pass::infer())
            .unwrap_err()
    };
    assert!(matches!(
        forward(vec![1; 10], None),
        Error::TooLong {
            tokens: 10,
            positions: 9
        }
    ));
    assert!(matches!(
        forward(vec![23], None),
        Error::UnknownId {
            kind: "token",
            id: 23,
            size: 23
        }
    ));
    assert!(matches!(
        forward(vec![1], Some(&[vec![2]])),
        Error::UnknownId {
            kind: "segment",
            id: 2,
            size: 2
        }
    ));
}
