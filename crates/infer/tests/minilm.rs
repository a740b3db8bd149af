//! The vectors of a real model are those of sentence-transformers. `CLOZE_MINILM_DIR` names a folder of
//! all-MiniLM-L6-v2; `tests/reference/infer_golden.py` wrote the expected values.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
#![allow(clippy::print_stderr, reason = "says why a test did not run")]

use encoder::ModelFiles;
use infer::{Embed, Embedder, ModelSettings, Role};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    text: String,
    vector: Vec<f32>,
}

#[test]
fn vectors_equal_the_reference_alone_and_together() {
    let Ok(folder) = std::env::var("CLOZE_MINILM_DIR") else {
        eprintln!("skipped: CLOZE_MINILM_DIR names no folder of all-MiniLM-L6-v2");
        return;
    };
    let files = ModelFiles::folder(folder).unwrap();
    let model = Embedder::open(&files, &ModelSettings::new(2)).unwrap();
    assert_eq!((model.dimension(), model.tokens_max()), (384, 256));
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/minilm.json")).unwrap();
    let texts: Vec<&str> = cases.iter().map(|case| case.text.as_str()).collect();
    let together = model.embed(&texts, Role::Passage).unwrap();
    for (case, together) in cases.iter().zip(together) {
        let alone = model.embed(&[&case.text], Role::Query).unwrap().remove(0);
        for found in [&together, &alone] {
            let differences = case.vector.iter().zip(found).map(|(a, b)| (a - b).abs());
            let farthest = differences.fold(0.0, f32::max);
            assert!(
                farthest < 1e-5,
                "{:?}: {farthest}",
                &case.text[..case.text.len().min(40)]
            );
        }
    }
}
