#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::time::Duration;

use super::*;
use crate::{Recipe as _, Run, recipe};

const RECIPE: &str = r#"
    seed = 3
    tokenizer = "unused"
    out = "unused"
    model = { hidden = 16, layers = 1, heads = 2, intermediate = 32, positions = 16 }
    data = { scored = "unused", batch = 8, tokens = 16, score_max = 4 }
    optimizer = { learning_rate = 5e-3 }
    schedule = { steps = 60 }
"#;

fn tokenizer() -> Tokenizer {
    let lines = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f".replace(' ', "\n");
    Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap()
}

/// Texts of four words; the score is how many of the first's stand in the second.
fn scored(lines: usize) -> String {
    let words = ["a", "b", "c", "d", "e", "f"];
    let line = |n: usize| {
        let text = |seed: usize| (0..4).map(|at| words[(seed >> (2 * at)) % 6]).collect::<Vec<_>>();
        let (one, other) = (text(n * 37), text(n * 61 + 5));
        let score = one.iter().filter(|word| other.contains(word)).count();
        serde_json::json!({"text1": one.join(" "), "text2": other.join(" "), "score": score}).to_string()
            + "\n"
    };
    (0..lines).map(line).collect()
}

fn recipe(folder: &Path, changes: &[&str]) -> SimilarityRecipe {
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let mut recipe: SimilarityRecipe = recipe::parse(RECIPE, "test", &changes).unwrap();
    recipe.data.scored = folder.join("scored.jsonl");
    recipe.out = folder.join(format!("{:?}", recipe.loss.kind));
    recipe
}

#[test]
fn every_loss_learns_the_scores_and_the_model_opens_again() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("scored.jsonl"), scored(64)).unwrap();
    for kind in ["cosent", "regression", "contrastive"] {
        let mut recipe = recipe(folder.path(), &[&format!("loss.kind={kind}")]);
        recipe.data.held_out = Some(recipe.data.scored.clone());
        let plan = recipe.plan().unwrap();
        let task = recipe.task(tokenizer()).unwrap();
        let mean = || {
            (0..8)
                .map(|n| task.loss(n).unwrap().loss.to_scalar::<f32>().unwrap())
                .sum::<f32>()
                / 8.0
        };
        let (before, loss) = (task.evaluate().unwrap()[0].1, mean());
        Run::new(&task, plan.clone(), &|| Duration::ZERO, false)
            .unwrap()
            .finish(|_| {})
            .unwrap();
        let after = task.evaluate().unwrap()[0].1;
        assert!(mean() < 0.95 * loss, "{kind}: {loss} {}", mean());
        // Alike or not says little of the order.
        assert!(
            kind == "contrastive" || after > before + 0.05,
            "{kind}: {before} {after}"
        );
        let files = encoder::ModelFiles::folder(&plan.out).unwrap();
        assert_eq!(
            SentenceEncoder::open(&files, &Device::Cpu).unwrap().dimension(),
            16
        );
    }
}

#[test]
fn scores_out_of_range_are_refused_with_their_line() {
    let folder = tempfile::tempdir().unwrap();
    let line = "{\"text1\": \"a\", \"text2\": \"b\", \"score\": 4.5}\n";
    std::fs::write(folder.path().join("scored.jsonl"), scored(9) + line).unwrap();
    let message = |changes: &[&str]| {
        let recipe = recipe(folder.path(), changes);
        SimilarityTask::new(recipe, tokenizer())
            .err()
            .unwrap()
            .to_string()
    };
    let high = message(&[]);
    assert!(
        high.contains("scored.jsonl, line 10: score 4.5; accepted are 0 to 4"),
        "{high}"
    );
    let swapped = message(&["data.score_max=0"]);
    assert!(
        swapped.starts_with("data.score_max is 0, accepted: above score_min"),
        "{swapped}"
    );
    let large = message(&["data.score_max=5", "data.batch=11"]);
    assert!(
        large.starts_with("data.batch is 11, accepted: 2 to 10"),
        "{large}"
    );
}
