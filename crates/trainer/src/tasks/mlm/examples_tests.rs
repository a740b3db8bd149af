//! Batches against the texts that they were made of.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::super::stream::tests::tokenizer;
use super::*;
use crate::recipe;

/// Twelve documents of some sentences, a line each.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let document = |n: usize| {
        let words = ["a", "b", "c", "fires", "wooded", "d"];
        let sentence = |m: usize| {
            let words: Vec<&str> = (0..3 + (n + m) % 4).map(|w| words[(n * m + w) % 6]).collect();
            words.join(" ") + "."
        };
        let text: Vec<String> = (0..6).map(sentence).collect();
        serde_json::json!({"text": text.join(" ")}).to_string()
    };
    let lines: Vec<String> = (0..12).map(document).collect();
    std::fs::write(folder.path().join("texts.jsonl"), lines.join("\n")).unwrap();
    folder
}

fn recipe(folder: &tempfile::TempDir, data: &str) -> MlmRecipe {
    let text = format!(
        "seed = 5\ntokenizer = \"x\"\nout = \"x\"\nschedule = {{ steps = 20 }}\n[data]\ntexts = [{:?}]\n{data}",
        folder.path().join("texts.jsonl")
    );
    recipe::parse(&text, "test", &[]).unwrap()
}

fn examples(data: &str, is_decoder: bool) -> Result<Examples> {
    let folder = folder();
    let recipe = recipe(&folder, data);
    let config = Config {
        is_decoder,
        ..Config::tiny()
    };
    Examples::read(&recipe, &recipe.data.texts, &config, &tokenizer())
}

/// The rows of a batch with the targets put back in their places.
fn restored(batch: &MlmBatch) -> Vec<Vec<u32>> {
    let mut rows = batch.rows.clone();
    let longest = longest(batch);
    for (&place, &target) in batch.places.iter().zip(&batch.targets) {
        rows[place as usize / longest][place as usize % longest] = target;
    }
    rows
}

fn longest(batch: &MlmBatch) -> usize {
    batch.rows.iter().map(Vec::len).max().unwrap()
}

#[test]
fn with_the_targets_put_back_a_batch_is_the_text() {
    let examples = examples("tokens = 12\nbatch = 3", false).unwrap();
    let all: Vec<u32> = examples
        .stream
        .tokens(0..examples.tokens())
        .map(|(id, _)| id)
        .collect();
    for number in 0..20 {
        let batch = examples.batch(number).unwrap();
        assert_eq!(batch, examples.batch(number).unwrap());
        let mut blanks = 0;
        for row in restored(&batch) {
            assert_eq!((row.len(), row[0], row[11]), (12, 2, 3));
            assert!(all.windows(10).any(|window| window == &row[1..11]), "{row:?}");
            let tokens = row[1..11].iter().filter(|&&id| id > 4).count();
            blanks += ((tokens as f64 * 0.15).round() as usize).max(1);
        }
        assert_eq!(batch.places.len(), blanks);
    }
    assert_ne!(examples.batch(0).unwrap(), examples.batch(1).unwrap());
}

#[test]
fn from_the_left_every_next_token_is_predicted_and_nothing_is_hidden() {
    let examples = examples("tokens = 12\nbatch = 3\npacking = \"within\"", true).unwrap();
    for number in 0..20 {
        let batch = examples.batch(number).unwrap();
        let mut at = 0;
        for (number, row) in batch.rows.iter().enumerate() {
            assert!(row.iter().all(|&id| id != 4));
            for (token, &next) in row[1..row.len() - 1].iter().enumerate() {
                let place = (number * longest(&batch) + token) as u32;
                assert_eq!((batch.places[at], batch.targets[at]), (place, next));
                at += 1;
            }
        }
        assert_eq!(batch.places.len(), at);
    }
}

#[test]
fn pairs_have_segment_ids_and_labels() {
    for pairs in ["next_sentence", "sentence_order"] {
        let examples = examples(&format!("tokens = 24\nbatch = 4\npairs = {pairs:?}"), false).unwrap();
        let mut labels = Vec::new();
        for number in 0..20 {
            let batch = examples.batch(number).unwrap();
            assert_eq!(batch.labels.len(), 4);
            for (row, types) in restored(&batch).iter().zip(&batch.types) {
                assert!(row.len() <= 24 && row[0] == 2 && row[row.len() - 1] == 3);
                let middle = row.iter().position(|&id| id == 3).unwrap();
                assert!(types[..=middle].iter().all(|&kind| kind == 0));
                assert!(types[middle + 1..].iter().all(|&kind| kind == 1));
                assert_eq!(row.iter().filter(|&&id| id == 3).count(), 2);
            }
            labels.extend(batch.labels);
        }
        assert!(labels.contains(&0) && labels.contains(&1));
    }
}

#[test]
fn phases_change_the_length_of_the_sequences() {
    let phases =
        "phases = [{ tokens = 8, batch = 6, share = 0.75 }, { tokens = 16, batch = 2, share = 0.25 }]";
    let examples = examples(phases, false).unwrap();
    let shapes: Vec<(usize, usize)> = (0..20)
        .map(|number| examples.batch(number).unwrap())
        .map(|batch| (batch.rows.len(), batch.rows[0].len()))
        .collect();
    assert!(shapes[..15].iter().all(|&shape| shape == (6, 8)), "{shapes:?}");
    assert!(shapes[15..].iter().all(|&shape| shape == (2, 16)), "{shapes:?}");
}

#[test]
fn held_out_batches_do_not_depend_on_the_seed() {
    let folder = folder();
    let mut recipe = recipe(&folder, "tokens = 12\nbatch = 3\nheld_out_sequences = 6");
    recipe.data.held_out = recipe.data.texts.clone();
    let batches = |recipe: &MlmRecipe| {
        let examples = Examples::held_out(recipe, &Config::tiny(), &tokenizer()).unwrap();
        let batches = (0..examples.batches()).map(|number| examples.batch(number).unwrap());
        batches.collect::<Vec<_>>()
    };
    let one = batches(&recipe);
    recipe.seed = 6;
    assert_eq!(one, batches(&recipe));
    assert_eq!(one.len(), 2);
}

#[test]
fn what_cannot_be_done_is_refused_by_name() {
    let message = |data: &str| {
        examples(data, false)
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default()
    };
    assert!(message("tokens = 2\nbatch = 1").contains("data.tokens is 2, accepted: 3 or more"));
    assert!(message("tokens = 12\nbatch = 1000").contains("batches of 1 to"));
    assert!(message("tokens = 12").contains("both tokens and batch"));
    let both = "tokens = 12\nbatch = 1\nphases = [{ tokens = 8, batch = 6, share = 1.0 }]";
    assert!(message(both).contains("or phases alone"));
    let shares = "phases = [{ tokens = 8, batch = 6, share = 0.7 }]";
    assert!(message(shares).contains("add up to 1"));
    let batch = "phases = [{ tokens = 8, batch = 0, share = 1.0 }]";
    assert!(message(batch).contains("batches of 1 or more"));
}
