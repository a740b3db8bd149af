#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use std::collections::HashMap;

use super::*;
use crate::recipe;

const RECIPE: &str = r#"
    seed = 3
    tokenizer = "unused"
    out = "unused"
    model = { hidden = 16, layers = 2, heads = 2, intermediate = 32, positions = 32, dropout = 0.1 }
    schedule = { steps = 8 }
    [data]
    pairs = "unused"
    positives = 4
    queries_per_positive = 2
    negatives = 2
    query_tokens = 16
    positive_tokens = 32
    [loss]
    contrastive = 1.0
"#;

fn tokenizer() -> Tokenizer {
    let special = "[PAD] [UNK] [CLS] [SEP] [MASK] what is told of here a b c d e f";
    let lines =
        format!("{special} 0 1 2 3 4 5 6 7 8 9 ##0 ##1 ##2 ##3 ##4 ##5 ##6 ##7 ##8 ##9").replace(' ', "\n");
    Tokenizer::from_files(|name| (name == "vocab.txt").then_some(&lines)).unwrap()
}

fn passage(n: usize) -> String {
    let words = ["a b", "c d e", "f", "b c"];
    format!("{} {n} is told of here", words[n % 4])
}

/// A recipe and its folder: 13 positives of two queries, each with three negatives among the others' positives, and
/// scores of a teacher.
fn recipe(changes: &[&str]) -> (tempfile::TempDir, SentenceRecipe) {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for n in 0..26 {
        let negatives: Vec<String> = (1..4).map(|more| passage((n / 2 + 2 * more) % 13)).collect();
        let line = serde_json::json!({
            "query": query(n),
            "positive": passage(n / 2),
            "negatives": negatives,
            "scores": [4.0, n % 3, 1.0, -1.0],
        });
        lines += &format!("{line}\n");
    }
    std::fs::write(folder.path().join("pairs.jsonl"), lines).unwrap();
    let changes: Vec<String> = changes.iter().map(|&change| change.to_owned()).collect();
    let mut recipe: SentenceRecipe = recipe::parse(RECIPE, "test", &changes).unwrap();
    recipe.data.pairs = folder.path().join("pairs.jsonl");
    (folder, recipe)
}

fn task(changes: &[&str]) -> SentenceTask {
    let (_folder, recipe) = recipe(changes);
    SentenceTask::new(recipe, tokenizer()).unwrap()
}

fn refused(recipe: SentenceRecipe) -> String {
    SentenceTask::new(recipe, tokenizer()).err().unwrap().to_string()
}

#[test]
fn columns_are_positives_and_chosen_negatives_each_text_once() {
    let task = task(&[]);
    assert_eq!(task.counts(), (13, 26));
    let (mut without, mut choices) = (0, std::collections::HashSet::new());
    for number in 0..30 {
        let step = task.prepare(number).unwrap();
        let of_columns = texts(&task, &step);
        let mut texts = of_columns.clone();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), step.passages.len());
        assert!(step.owner.iter().all(|&column| column < 4));
        assert_eq!((step.queries.len(), step.other_answers().len()), (8, 0));
        for (row, own) in step.negatives.iter().enumerate() {
            let group = &task.pairs.groups[step.query_rows[row] as usize / 2];
            let query = group
                .queries
                .iter()
                .find(|query| query.row == step.query_rows[row])
                .unwrap();
            assert_eq!(own.len(), 2);
            for (at, &column) in own.iter().enumerate() {
                let text = of_columns[column as usize];
                let place = query
                    .negatives
                    .iter()
                    .position(|&negative| negative == text)
                    .unwrap();
                assert_eq!(step.scores[row][at + 1], query.scores[place + 1]);
                choices.insert((step.query_rows[row], place));
            }
            without += usize::from(own.iter().any(|&column| column < 4));
        }
        assert_eq!(step, task.prepare(number).unwrap());
    }
    // Some negatives are positives of the batch as well, and in time every one has its turn.
    assert!(
        without > 0 && choices.len() == 26 * 3,
        "{without} {}",
        choices.len()
    );
}

/// Lines that ask for other passages with queries that are there: the query's number, and the passage's.
const AGAIN: [(usize, usize); 2] = [(0, 1), (5, 3)];

fn query(n: usize) -> String {
    format!("what is {} {}", n / 2, n % 2)
}

/// The lines of the recipe, and those, in another file.
fn asked_twice(recipe: &SentenceRecipe) -> std::path::PathBuf {
    let mut lines = std::fs::read_to_string(&recipe.data.pairs).unwrap();
    for (number, positive) in AGAIN {
        let line = serde_json::json!({"query": query(number), "positive": passage(positive)});
        lines += &format!("{line}\n");
    }
    let path = recipe.data.pairs.with_file_name("twice.jsonl");
    std::fs::write(&path, lines).unwrap();
    path
}

fn task_of_queries_asked_twice(changes: &[&str]) -> SentenceTask {
    let (_folder, mut recipe) = recipe(changes);
    recipe.data.pairs = asked_twice(&recipe);
    SentenceTask::new(recipe, tokenizer()).unwrap()
}

/// Which of the passages each column is.
fn texts(task: &SentenceTask, step: &Step) -> Vec<u32> {
    let number = |ids: &Vec<u32>| task.pairs.passages.iter().position(|known| known == ids);
    step.passages
        .iter()
        .map(|ids| number(ids).unwrap() as u32)
        .collect()
}

#[test]
fn no_answer_of_a_query_counts_against_another() {
    let task = task_of_queries_asked_twice(&["data.positives=13", "data.queries_per_positive=3"]);
    let step = task.prepare(0).unwrap();
    let texts = texts(&task, &step);
    let place = |n: usize| task.pairs.groups[n].positive;
    let found: std::collections::HashSet<(u32, u32)> = step
        .other_answers()
        .into_iter()
        .map(|(row, column)| (step.query_rows[row], texts[column]))
        .collect();
    // Lines 0 and 26 are the same query, and so are 5 and 27.
    let expected = [(0, place(1)), (26, place(0)), (5, place(3)), (27, place(2))];
    assert_eq!(found, expected.into());
}

/// Gradients by variable.
fn gradients(task: &SentenceTask, loss: &Tensor) -> HashMap<String, Vec<f32>> {
    let mut store = loss.backward().unwrap();
    let of = |(name, var): (String, Var)| {
        let gradient = store
            .remove(&var)
            .map(|g| g.flatten_all().unwrap().to_vec1().unwrap());
        (name, gradient.unwrap_or_default())
    };
    task.variables().into_iter().map(of).collect()
}

#[test]
fn batches_that_share_their_passages_have_the_gradient_of_one_large_batch() {
    let every = [
        "loss.across_batches=true",
        "optimizer.accumulate=3",
        "loss.symmetric=true",
        "loss.triplet=0.5",
        "loss.teacher_margins=0.1",
        "loss.teacher_scores=0.3",
        "loss.matryoshka=[{dimension=4, weight=0.5}, {dimension=8}]",
        "loss.int8=true",
    ];
    for changes in [&every[..2], &every[..]] {
        let task = task(changes);
        assert_eq!(task.steps_per_epoch(), 3);
        // The step joins batches 3, 4 and 5, of which some share texts.
        let (mut whole, mut queries, mut passages) = (Step::default(), Vec::new(), Vec::new());
        for number in 3..6 {
            let step = task.prepare(number).unwrap();
            let (of_queries, of_passages) = task.embed(number, &step).unwrap();
            queries.push(of_queries);
            passages.push(of_passages);
            whole.append(step);
        }
        assert!(!whole.other_answers().is_empty());
        let (queries, passages) = (
            Tensor::cat(&queries, 0).unwrap(),
            Tensor::cat(&passages, 0).unwrap(),
        );
        let (plain, _) = task.objective(&whole, &queries, &passages).unwrap();
        let expected = gradients(&task, &plain);
        // Twice: nothing of the first round may be left for the second. Any order of the batches.
        for order in [[3, 4, 5], [5, 3, 4]] {
            let mut sum: HashMap<String, Vec<f32>> = HashMap::new();
            for number in order {
                let loss = task.loss(number).unwrap().loss;
                let apart = loss.to_scalar::<f32>().unwrap() - plain.to_scalar::<f32>().unwrap();
                assert!(apart.abs() < 1e-5, "{apart}");
                for (name, part) in gradients(&task, &(loss / 3.0).unwrap()) {
                    let sum = sum.entry(name).or_insert_with(|| vec![0.0; part.len()]);
                    sum.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
                }
            }
            for (name, expected) in &expected {
                let size = expected.iter().map(|x| x * x).sum::<f32>().sqrt();
                let apart = expected
                    .iter()
                    .zip(&sum[name])
                    .map(|(a, b)| (a - b).powi(2))
                    .sum::<f32>()
                    .sqrt();
                assert!(size > 0.0 && apart < 1e-4 * size, "{name}: {apart} of {size}");
            }
        }
    }
}

#[test]
fn the_parts_agree_with_the_loops() {
    let changes = [
        "loss.contrastive=1.0",
        "loss.triplet=1.0",
        "loss.teacher_margins=1.0",
        "loss.teacher_scores=1.0",
    ];
    let task = task_of_queries_asked_twice(&changes);
    let mut step = task.prepare(0).unwrap();
    step.append(task.prepare(1).unwrap());
    step.append(task.prepare(2).unwrap());
    step.append(task.prepare(3).unwrap());
    let texts = texts(&task, &step);
    let is_copy = |&(row, column): &(usize, usize)| texts[column] == texts[step.owner[row] as usize];
    let (copies, others): (Vec<_>, Vec<_>) = step.other_answers().into_iter().partition(is_copy);
    assert!(!copies.is_empty() && !others.is_empty());
    // One query has fewer scores and takes no part in what needs them.
    step.scores[0].pop();
    let unit = |rows: usize, factor: f32| {
        let values: Vec<f32> = (0..rows * 16).map(|n| (n as f32 * factor).sin()).collect();
        loss_of_unit(Tensor::from_vec(values, (rows, 16), &Device::Cpu).unwrap())
    };
    let (queries, passages) = (unit(step.queries.len(), 1.3), unit(step.passages.len(), 0.7));
    let (total, parts) = task.objective(&step, &queries, &passages).unwrap();
    let s = queries
        .matmul(&passages.t().unwrap())
        .unwrap()
        .to_vec2::<f32>()
        .unwrap();

    let (mut contrastive, mut triplets, mut margins, mut divergences) = (vec![], vec![], vec![], vec![]);
    for (row, s) in s.iter().enumerate() {
        let own = step.owner[row] as usize;
        let line = step.query_rows[row] as usize;
        let asked = line.checked_sub(26).map_or(line, |again| AGAIN[again].0);
        let is_answer = |column: usize| {
            let n = task
                .pairs
                .groups
                .iter()
                .position(|group| group.positive == texts[column]);
            n.is_some_and(|n| n == asked / 2 || AGAIN.contains(&(asked, n)))
        };
        let is_rival = |column: &usize| *column == own || !is_answer(*column);
        let all: f32 = (0..s.len())
            .filter(is_rival)
            .map(|column| (20.0 * s[column]).exp())
            .sum();
        contrastive.push(all.ln() - 20.0 * s[own]);
        let far: Vec<f32> = step.negatives[row]
            .iter()
            .map(|&column| s[column as usize])
            .collect();
        triplets.extend(far.iter().map(|far| (0.2 - s[own] + far).max(0.0)));
        if step.scores[row].len() == 3 {
            let theirs = &step.scores[row];
            let ours: Vec<f32> = std::iter::once(&s[own]).chain(&far).map(|s| 20.0 * s).collect();
            margins.extend((1..3).map(|at| (ours[0] - ours[at] - theirs[0] + theirs[at]).powi(2)));
            let log_sum = |x: &[f32]| x.iter().map(|x| x.exp()).sum::<f32>().ln();
            let (all, their) = (log_sum(&ours), log_sum(theirs));
            let one = |at: usize| (theirs[at] - their).exp() * (theirs[at] - their - ours[at] + all);
            divergences.push((0..3).map(one).sum());
        }
    }
    let mean = |values: &[f32]| values.iter().sum::<f32>() / values.len() as f32;
    let expected = [
        ("contrastive", mean(&contrastive)),
        ("triplet", mean(&triplets)),
        ("teacher_margins", mean(&margins)),
        ("teacher_scores", mean(&divergences)),
    ];
    assert_eq!(parts.len(), 4);
    for ((name, found), (expected_name, expected)) in parts.iter().zip(expected) {
        assert_eq!(*name, expected_name);
        assert!(
            (found - expected).abs() < 1e-4 * expected,
            "{name}: {found} {expected}"
        );
    }
    let sum: f32 = expected.iter().map(|(_, value)| value).sum();
    let total = total.to_scalar::<f32>().unwrap();
    assert!((total - sum).abs() < 1e-4 * sum, "{total} {sum}");
}

fn loss_of_unit(vectors: Tensor) -> Tensor {
    let width = vectors.dims()[1];
    crate::loss::shortened(&vectors, width).unwrap()
}

#[test]
fn texts_alone_find_themselves_through_dropout() {
    let (folder, mut recipe) = recipe(&["data.form=texts", "data.negatives=0"]);
    recipe.data.pairs = folder.path().join("texts.txt");
    let texts: Vec<String> = (0..13).map(passage).collect();
    std::fs::write(&recipe.data.pairs, texts.join("\n")).unwrap();
    let task = SentenceTask::new(recipe.clone(), tokenizer()).unwrap();
    let step = task.prepare(0).unwrap();
    let (queries, passages) = task.embed(0, &step).unwrap();
    let cosines = (queries * passages)
        .unwrap()
        .sum(1)
        .unwrap()
        .to_vec1::<f32>()
        .unwrap();
    assert!(
        cosines.iter().all(|cosine| (0.5..0.9999).contains(cosine)),
        "{cosines:?}"
    );
    if let Some(shape) = recipe.model.as_mut() {
        shape.dropout = 0.0;
    }
    let message = refused(recipe);
    assert!(message.contains("without dropout"), "{message}");
}

#[test]
fn scores_on_held_out_data_agree_with_the_definitions() {
    let (folder, mut recipe) = recipe(&[]);
    let scored = folder.path().join("scored.jsonl");
    let line = |n: usize| {
        let (one, other) = (passage(n), passage(3 * n + 1));
        serde_json::json!({"text1": one, "text2": other, "score": n * n % 11}).to_string() + "\n"
    };
    std::fs::write(&scored, (0..12).map(line).collect::<String>()).unwrap();
    recipe.data.held_out = Some(asked_twice(&recipe));
    recipe.data.scored = Some(scored);
    let task = SentenceTask::new(recipe.clone(), tokenizer()).unwrap();
    let scores: HashMap<_, _> = task.evaluate().unwrap().into_iter().collect();

    let vector = |text: &str, most: usize| {
        let ids = task.tokenizer.encode(text, most).unwrap().ids;
        let found = task.vectors(&[ids], &mut Pass::infer()).unwrap();
        found.squeeze(0).unwrap().to_vec1::<f32>().unwrap()
    };
    let cosine = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let passages: Vec<Vec<f32>> = (0..13).map(|n| vector(&passage(n), 32)).collect();
    let (mut reciprocal, mut recall) = (0.0, 0.0);
    let lines: Vec<(usize, usize)> = (0..26).map(|n| (n, n / 2)).chain(AGAIN).collect();
    for &(asked, own) in &lines {
        let query = vector(&query(asked), 16);
        let cosine = |at: usize| cosine(&query, &passages[at]);
        let answers = |at: &usize| lines.contains(&(asked, *at));
        let before = (0..13)
            .filter(|at| !answers(at) && cosine(*at) > cosine(own) + 1e-6)
            .count();
        if before < 10 {
            reciprocal += 1.0 / (before as f64 + 1.0) / 28.0;
            recall += 1.0 / 28.0;
        }
    }
    assert!(
        (scores["mrr@10"] - reciprocal).abs() < 1e-6,
        "{scores:?} {reciprocal}"
    );
    assert!((scores["recall@10"] - recall).abs() < 1e-6, "{scores:?} {recall}");
    let of = |n: usize| f64::from(cosine(&vector(&passage(n), 32), &vector(&passage(3 * n + 1), 32)));
    let cosines: Vec<f64> = (0..12).map(of).collect();
    let gold: Vec<f64> = (0..12).map(|n| (n * n % 11) as f64).collect();
    let expected = measure::correlation::spearman(&cosines, &gold).unwrap().unwrap();
    assert!(
        (scores["spearman"] - expected).abs() < 1e-6,
        "{scores:?} {expected}"
    );

    let empty = folder.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    recipe.data.held_out = Some(empty);
    assert!(refused(recipe).contains("empty.jsonl, which has no line"));
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let message = |changes: &[&str]| refused(recipe(changes).1);
    let few = message(&[
        "data.positives=5",
        "loss.across_batches=true",
        "optimizer.accumulate=3",
    ]);
    assert!(
        few.starts_with("data.positives is 5, accepted: 2 to 4, for 13"),
        "{few}"
    );
    let long = message(&["loss.matryoshka=[{dimension=16}]"]);
    assert!(
        long.starts_with("loss.matryoshka.dimension is 16, accepted: 1 to 15"),
        "{long}"
    );
    let (folder, mut recipe) = recipe(&[]);
    recipe.data.pairs = folder.path().join("bad.jsonl");
    let line = "{\"query\": \"a\", \"positive\": \"b\", \"negatives\": [\"c\"], \"scores\": [1]}\n";
    std::fs::write(&recipe.data.pairs, line).unwrap();
    let bad = refused(recipe);
    assert!(
        bad.contains("bad.jsonl, line 1: 1 scores; accepted are none"),
        "{bad}"
    );
    let nothing = task(&["loss.contrastive=0.0"]).loss(0).err().unwrap().to_string();
    assert!(nothing.starts_with("loss is all parts of weight 0"), "{nothing}");
}
