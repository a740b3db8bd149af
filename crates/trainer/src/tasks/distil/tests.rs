#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::time::Duration;

use super::*;
use crate::{Run, recipe};
use candle_core::{DType, Device};
use encoder::Parameters;

const RECIPE: &str = r#"
    teacher = "unused"
    [student]
    seed = 5
    tokenizer = "unused"
    out = "unused"
    model = { hidden = 16, layers = 2, heads = 2, intermediate = 32, positions = 16 }
    data = { texts = ["unused"], tokens = 16, batch = 4 }
    optimizer = { learning_rate = 1e-2 }
    schedule = { steps = 40 }
"#;

fn tokenizer() -> Tokenizer {
    let lines = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h".replace(' ', "\n");
    Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap()
}

/// A folder with texts and a teacher of three layers and this width.
fn folder(width: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let text = |n: usize| {
        (0..20)
            .map(|at| words[(n + at * (1 + n % 3)) % 8])
            .collect::<Vec<_>>()
            .join(" ")
    };
    std::fs::write(
        folder.path().join("texts.txt"),
        (0..40).map(text).collect::<Vec<_>>().join("\n"),
    )
    .unwrap();
    let shape = format!("hidden = {width}\nlayers = 3\nheads = 2\nintermediate = 32\npositions = 16");
    let shape: crate::recipe::Shape = toml::from_str(&shape).unwrap();
    let teacher = MaskedLm::new(&Parameters::fresh(9, &Device::Cpu), &shape.config(13, 0)).unwrap();
    // Larger weights, so that its opinions differ.
    for (name, var) in teacher.vars() {
        if name.ends_with("weight") && !name.contains("LayerNorm") {
            var.set(&(var.as_tensor() * 8.0).unwrap()).unwrap();
        }
    }
    teacher.save(&folder.path().join("teacher"), DType::F32).unwrap();
    folder
}

fn recipe(folder: &Path, changes: &[&str]) -> DistilRecipe {
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let mut recipe: DistilRecipe = recipe::parse(RECIPE, "test", &changes).unwrap();
    recipe.teacher = folder.join("teacher");
    recipe.student.data.texts = vec![folder.join("texts.txt")];
    recipe
}

fn refused(recipe: DistilRecipe) -> String {
    DistilTask::new(recipe, tokenizer()).err().unwrap().to_string()
}

const RELATIONS: [&str; 5] = [
    "loss.soft=0.0",
    "loss.mlm=0.0",
    "loss.hidden=0.0",
    "loss.relations=1.0",
    "loss.relation_heads=4",
];

#[test]
fn each_part_is_learned() {
    let folder = folder(16);
    let parts: [(&str, &[&str]); 3] = [
        ("soft", &["loss.mlm=0.0", "loss.hidden=0.0"]),
        ("hidden", &["loss.soft=0.0", "loss.mlm=0.0"]),
        ("relations", &RELATIONS),
    ];
    for (name, changes) in parts {
        let mut recipe = recipe(folder.path(), changes);
        recipe.student.out = folder.path().join(name);
        let plan = recipe.plan().unwrap();
        let task = recipe.task(tokenizer()).unwrap();
        let mean = || {
            let losses =
                (1000..1008).map(|number| task.loss(number).unwrap().loss.to_scalar::<f32>().unwrap());
            losses.sum::<f32>() / 8.0
        };
        let before = mean();
        Run::new(&task, plan, &|| Duration::ZERO, false)
            .unwrap()
            .finish(|_| {})
            .unwrap();
        let after = mean();
        assert!(after < 0.7 * before, "{name}: {before} {after}");
    }
}

#[test]
fn a_student_that_is_its_teacher_has_nothing_to_learn() {
    let folder = folder(16);
    let mut same = recipe(
        folder.path(),
        &["loss.mlm=0.0", "loss.relations=1.0", "loss.relation_heads=4"],
    );
    same.student.model = None;
    same.student.start = Some(crate::start::Start {
        model: folder.path().join("teacher"),
        layers: None,
        dropout: None,
    });
    let task = DistilTask::new(same, tokenizer()).unwrap();
    let found = task.loss(3).unwrap();
    assert_eq!(
        found.parts.iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        ["soft", "hidden", "relations"]
    );
    assert!(
        found.parts.iter().all(|(_, value)| value.abs() < 1e-5),
        "{:?}",
        found.parts
    );
}

#[test]
fn what_has_no_part_in_the_loss_is_frozen_and_nothing_else() {
    let folder = folder(16);
    let task = DistilTask::new(recipe(folder.path(), &RELATIONS), tokenizer()).unwrap();
    let mut gradients = task.loss(0).unwrap().loss.backward().unwrap();
    for (name, var) in task.variables() {
        let reached = gradients.remove(&var).is_some();
        assert_eq!(task.rate(&name), f64::from(u8::from(reached)), "{name}");
    }
}

#[test]
fn a_teacher_of_another_width_gives_relations_alone() {
    let folder = folder(24);
    let task = DistilTask::new(recipe(folder.path(), &RELATIONS), tokenizer()).unwrap();
    assert!(task.loss(0).unwrap().loss.to_scalar::<f32>().unwrap() > 0.0);
    let hidden = refused(recipe(folder.path(), &[]));
    assert!(hidden.starts_with("loss.hidden is widths 16 and 24"), "{hidden}");
    let heads = refused(recipe(
        folder.path(),
        &[&RELATIONS[..4], &["loss.relation_heads=16"]].concat(),
    ));
    assert!(
        heads.starts_with("loss.relation_heads is 16 with widths 16 and 24"),
        "{heads}"
    );
    let cold = refused(recipe(folder.path(), &["loss.temperature=0.0"]));
    assert!(
        cold.starts_with("loss.temperature is 0, accepted: above 0"),
        "{cold}"
    );
    let nothing = refused(recipe(folder.path(), &[&RELATIONS[..3]].concat()));
    assert!(nothing.starts_with("loss is all parts of weight 0"), "{nothing}");
}
