//! Pre-training of tiny models with every objective: gradients, learning, evaluation, and what is written.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use encoder::{Device, MaskedLm, ModelFiles, PreTraining};
use text::Tokenizer;
use trainer::{MlmRecipe, MlmTask, Recipe as _, Run, Task as _, recipe};

type Checked = Result<(), Box<dyn Error>>;

const RECIPE: &str = r#"
    seed = 5
    tokenizer = "unused"
    out = "unused"
    model = { hidden = 32, layers = 1, heads = 4, intermediate = 64, positions = 32 }
    data = { tokens = 24, batch = 8, texts = [], held_out_sequences = 32 }
    schedule = { steps = 300 }
    optimizer = { learning_rate = 1e-2, weight_decay = 0.0 }
"#;

/// Documents of four topics, each with four words of its own: every sentence says one of them four times, and they
/// take turns. So blanks can be filled in from their neighbours, order shows in the words, and origin in the topic.
fn prepare(folder: &Path) -> Result<Tokenizer, Box<dyn Error>> {
    let words: Vec<String> = ('a'..='p').map(String::from).collect();
    let document = |n: usize| {
        let sentence = |m: usize| [words[n % 4 * 4 + m % 4].as_str(); 4].join(" ") + ".";
        let text: Vec<String> = (0..8).map(sentence).collect();
        serde_json::json!({"text": text.join(" ")}).to_string()
    };
    let lines: Vec<String> = (0..40).map(document).collect();
    std::fs::write(folder.join("texts.jsonl"), lines.join("\n"))?;
    let held: Vec<String> = (40..60).map(document).collect();
    std::fs::write(folder.join("held.jsonl"), held.join("\n"))?;
    let lines = format!("[PAD] [UNK] [CLS] [SEP] [MASK] . {}", words.join(" ")).replace(' ', "\n");
    Ok(Tokenizer::from_files(|name| {
        (name == "vocab.txt").then_some(&lines)
    })?)
}

fn recipe(folder: &Path, changes: &[&str]) -> Result<MlmRecipe, trainer::Error> {
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let mut recipe: MlmRecipe = recipe::parse(RECIPE, "test", &changes)?;
    recipe.data.texts = vec![folder.join("texts.jsonl")];
    recipe.data.held_out = vec![folder.join("held.jsonl")];
    recipe.out = folder.join("out");
    Ok(recipe)
}

/// Objectives with the parts of their loss and the names of their scores.
const OBJECTIVES: [(&[&str], &[&str], &[&str]); 4] = [
    (
        &["data.masking.unit=\"word\"", "data.packing=\"within\""],
        &["mlm"],
        &["masked_accuracy", "perplexity"],
    ),
    (
        &["model.left_to_right=true"],
        &["next_token"],
        &["next_token_accuracy", "perplexity"],
    ),
    (
        &["data.pairs=\"next_sentence\""],
        &["mlm", "pairs"],
        &["masked_accuracy", "perplexity", "pair_accuracy"],
    ),
    (
        &["data.pairs=\"sentence_order\"", "data.masking.unit=\"span\""],
        &["mlm", "pairs"],
        &["masked_accuracy", "perplexity", "pair_accuracy"],
    ),
];

#[test]
fn every_variable_of_every_objective_gets_a_gradient_and_guesses_come_first() -> Checked {
    let folder = tempfile::tempdir()?;
    let tokenizer = prepare(folder.path())?;
    for (changes, parts, _) in OBJECTIVES {
        let task = MlmTask::new(recipe(folder.path(), changes)?, tokenizer.clone())?;
        let loss = task.loss(3)?;
        let named: Vec<&str> = loss.parts.iter().map(|(name, _)| *name).collect();
        assert_eq!(named, parts);
        // A fresh model knows nothing: all 22 tokens are alike to it, and both labels.
        for (name, value) in &loss.parts {
            let guess = if *name == "pairs" { 2f32 } else { 22f32 }.ln();
            assert!((value - guess).abs() < 0.1, "{name} of {changes:?}: {value}");
        }
        let sum: f32 = loss.parts.iter().map(|(_, value)| value).sum();
        assert!((loss.loss.to_scalar::<f32>()? - sum).abs() < 1e-5);
        let grads = loss.loss.backward()?;
        for (name, var) in task.variables() {
            let grad = grads.get(&var).ok_or(format!("{name} has no gradient"))?;
            let norm = grad.sqr()?.sum_all()?.to_scalar::<f32>()?;
            assert!(norm.is_finite() && norm > 0.0, "{name} of {changes:?}: {norm}");
        }
    }
    Ok(())
}

#[test]
fn every_objective_is_learned_as_the_held_out_texts_say() -> Checked {
    let folder = tempfile::tempdir()?;
    let tokenizer = prepare(folder.path())?;
    // Of the pairs from elsewhere a quarter is of the same topic and may look as if it followed.
    let least: [&[f64]; 4] = [&[0.6], &[0.6], &[0.6, 0.7], &[0.5, 0.7]];
    let mut found = Vec::new();
    for (number, (changes, _, names)) in OBJECTIVES.iter().enumerate() {
        let mut recipe = recipe(folder.path(), changes)?;
        recipe.out = folder.path().join(number.to_string());
        let plan = recipe.plan()?;
        let task = MlmTask::new(recipe, tokenizer.clone())?;
        let before = task.evaluate()?;
        let outcome = Run::new(&task, plan, &|| Duration::ZERO, false)?.finish(|_| {})?;
        assert_eq!(outcome.learned_nothing, None, "{changes:?}");
        let after = task.evaluate()?;
        assert_eq!(after, task.evaluate()?, "always the same blanks");
        let named: Vec<&str> = after.iter().map(|(name, _)| *name).collect();
        assert_eq!(&named, names);
        found.push((before, after));
    }
    for ((before, after), least) in found.iter().zip(least) {
        assert!(after[0].1 >= least[0], "{found:?}");
        assert!(after[1].1 < 0.5 * before[1].1, "{found:?}");
        assert!(after.get(2).is_none_or(|pair| pair.1 >= least[1]), "{found:?}");
    }
    Ok(())
}

#[test]
fn a_run_that_fills_in_blanks_no_better_than_by_frequency_says_so() -> Checked {
    let folder = tempfile::tempdir()?;
    let tokenizer = prepare(folder.path())?;
    for (number, (changes, ..)) in OBJECTIVES.iter().enumerate() {
        let mut recipe = recipe(folder.path(), changes)?;
        recipe.out = folder.path().join(number.to_string());
        recipe.optimizer.learning_rate = 1e-7;
        recipe.schedule.steps = 30;
        let plan = recipe.plan()?;
        let task = MlmTask::new(recipe, tokenizer.clone())?;
        let outcome = Run::new(&task, plan, &|| Duration::ZERO, false)?.finish(|_| {})?;
        assert!(outcome.learned_nothing.is_some(), "{changes:?}: {outcome:?}");
    }
    Ok(())
}

#[test]
fn folders_open_with_the_heads_that_were_trained() -> Checked {
    let folder = tempfile::tempdir()?;
    let tokenizer = prepare(folder.path())?;
    let architectures = [
        "BertForMaskedLM",
        "BertLMHeadModel",
        "BertForPreTraining",
        "BertForPreTraining",
    ];
    for ((changes, parts, _), architecture) in OBJECTIVES.iter().zip(architectures) {
        let task = MlmTask::new(recipe(folder.path(), changes)?, tokenizer.clone())?;
        let out = folder.path().join(architecture);
        task.save(&out)?;
        let config: serde_json::Value = serde_json::from_slice(&std::fs::read(out.join("config.json"))?)?;
        assert_eq!(config["architectures"][0], architecture);
        assert_eq!(config["is_decoder"], architecture == "BertLMHeadModel");
        let files = ModelFiles::folder(&out)?;
        let opened = match parts.len() {
            1 => MaskedLm::open(&files, &Device::Cpu)?.vars(),
            _ => PreTraining::open(&files, &Device::Cpu)?.vars(),
        };
        let trained = task.variables();
        assert_eq!(opened.len(), trained.len());
        for ((name, opened), (_, trained)) in opened.iter().zip(&trained) {
            let apart = (opened.as_tensor() - trained.as_tensor())?.abs()?.sum_all()?;
            assert_eq!(apart.to_scalar::<f32>()?, 0.0, "{name}");
        }
    }
    Ok(())
}

#[test]
fn settings_that_cannot_go_together_are_refused_by_name() -> Checked {
    let folder = tempfile::tempdir()?;
    let tokenizer = prepare(folder.path())?;
    let message = |changes: &[&str]| -> Result<String, Box<dyn Error>> {
        let refused = MlmTask::new(recipe(folder.path(), changes)?, tokenizer.clone()).err();
        Ok(refused.map(|e| e.to_string()).unwrap_or_default())
    };
    let both = message(&["model.left_to_right=true", "data.pairs=\"next_sentence\""])?;
    assert!(
        both.contains("data.pairs is NextSentence with left-to-right"),
        "{both}"
    );
    let long = message(&["data.tokens=33"])?;
    assert!(long.contains("data.tokens is 33, accepted: up to 32"), "{long}");
    let mut phased = recipe(folder.path(), &["schedule.minutes=1.0"])?;
    (phased.data.tokens, phased.data.batch) = (None, None);
    let phase = |tokens| trainer::tasks::mlm::Phase {
        tokens,
        batch: 4,
        share: 0.5,
    };
    phased.data.phases = vec![phase(16), phase(32)];
    let refused = MlmTask::new(phased, tokenizer.clone()).err();
    let refused = refused.map(|e| e.to_string()).unwrap_or_default();
    assert!(refused.contains("schedule.minutes is 1"), "{refused}");
    Ok(())
}
