//! Weights packed beside a model, and what happens when the model changes.

use std::path::Path;

use crate::fixture::{Journey, files, lines};

/// The bundled model as a folder of the user's.
fn model(journey: &Journey) {
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bundled/models/encoder");
    for path in files(&bundled) {
        let name = Path::new("model").join(path.strip_prefix(&bundled).unwrap());
        journey.put(name.to_str().unwrap(), std::fs::read(&path).unwrap());
    }
}

#[test]
fn a_packed_model_answers_the_same_and_a_changed_one_is_noticed() {
    let journey = Journey::new();
    model(&journey);
    journey.put(
        "texts.jsonl",
        lines(&["The Moon raises the tides.", "A sail is a wing."]),
    );
    let embed = [
        "embed",
        "texts.jsonl",
        "--model",
        "model",
        "--precision",
        "int8",
        "-o",
        "-",
    ];
    let before = journey.cloze(&embed).well();

    // What was measured of the model says that 8 bits are enough.
    let summary = journey.cloze(&["pack", "model", "--json"]).well().json();
    assert_eq!(summary["precision"], "int8");
    let size = std::fs::metadata(journey.path("model/packed-int8.safetensors"))
        .unwrap()
        .len();
    assert_eq!(summary["bytes"], size);
    let packed = journey.cloze(&embed).well();
    assert_eq!(packed.out, before.out);
    assert!(!packed.err.contains("packed"), "{}", packed.err);

    // Another model in the same place: its own answers, and a word about the packed weights.
    let weights = journey.path("model/model.safetensors");
    let mut bytes = std::fs::read(&weights).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 0x08;
    std::fs::write(&weights, bytes).unwrap();
    let changed = journey.cloze(&embed).well();
    assert!(
        changed.err.contains("the model changed after it was packed"),
        "{}",
        changed.err
    );
    // And of this other one nothing was.
    let summary = journey.cloze(&["pack", "model", "--json"]).well().json();
    assert_eq!(summary["precision"], "f32");
    journey.cloze(&["pack", "model", "--precision", "int8"]).well();
    let packed = journey.cloze(&embed).well();
    assert_eq!(packed.out, changed.out);
    assert!(!packed.err.contains("packed"), "{}", packed.err);
}

#[test]
fn what_cannot_be_packed_is_named() {
    let journey = Journey::new();
    journey.put("empty/README.md", "no model");
    for folder in ["none", "empty"] {
        let refused = journey.cloze(&["pack", folder]);
        assert_eq!(refused.code, 1);
        assert!(refused.err.contains(folder), "{}", refused.err);
    }
}
