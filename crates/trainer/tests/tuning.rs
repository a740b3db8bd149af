//! Fine-tuning tiny models on tiny sets: each task learns, resumes to the same numbers, and its folder opens again.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use candle_core::Var;
use encoder::{Batch, Device, ModelFiles, PairScorer, Pass};
use serde::de::DeserializeOwned;
use text::Tokenizer;
use trainer::recipe::{self, Recipe};
use trainer::tasks::classify::{ClassWeights, LabelKind};
use trainer::{ClassifyRecipe, ReaderRecipe, RerankRecipe, Run, TagRecipe, Task};

type Checked = Result<(), Box<dyn Error>>;

const WORDS: &str = "[PAD] [UNK] [CLS] [SEP] [MASK] . , ? who what where is the a red green blue good bad fine poor \
    cat dog bird fish tree ann bob carl in on rome paris likes sees ##s ##e";

const COMMON: &str = r#"
    seed = 3
    tokenizer = "tokenizer"
    out = "out"
    [model]
    hidden = 16
    layers = 2
    heads = 2
    intermediate = 32
    positions = 32
    dropout = 0.1
    [optimizer]
    learning_rate = 5e-3
    [saving]
    checkpoint_steps = 20
"#;

fn tokenizer() -> Result<Tokenizer, Box<dyn Error>> {
    let lines = WORDS.split_whitespace().collect::<Vec<_>>().join("\n");
    Ok(Tokenizer::from_files(|name| {
        (name == "vocab.txt").then_some(&lines)
    })?)
}

/// A recipe out of the common part and the task's own.
fn recipe<R: DeserializeOwned>(own: &str, folder: &Path) -> Result<R, trainer::Error> {
    let own = own.replace("FOLDER", &folder.display().to_string());
    recipe::parse(&format!("{COMMON}{own}"), "test", &[])
}

fn bits(task: &impl Task) -> Result<Vec<(String, Vec<u32>)>, candle_core::Error> {
    let of = |var: &Var| -> Result<Vec<u32>, candle_core::Error> {
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        Ok(values.into_iter().map(f32::to_bits).collect())
    };
    let vars = task.variables();
    vars.iter()
        .map(|(name, var)| Ok((name.clone(), of(var)?)))
        .collect()
}

fn run(task: &impl Task, mut plan: trainer::Plan, out: PathBuf, resume: bool) -> Result<(), trainer::Error> {
    plan.out = out;
    Run::new(task, plan, &|| Duration::ZERO, resume)?
        .finish(|_| {})
        .map(|_| ())
}

/// Runs the recipe whole, then from a checkpoint, and returns the folder of the model with what
/// `evaluate` says before and after.
fn learns_and_resumes<R: Recipe>(recipe: R, folder: &Path) -> Result<(PathBuf, f64, f64), Box<dyn Error>> {
    let (plan, whole) = (recipe.plan()?, recipe.clone().task(tokenizer()?)?);
    let score =
        |task: &R::Task| -> Result<f64, Box<dyn Error>> { Ok(task.evaluate()?.first().ok_or("no score")?.1) };
    let before = score(&whole)?;
    let out = folder.join("whole");
    run(&whole, plan.clone(), out.clone(), false)?;
    let cut = folder.join("cut");
    std::fs::create_dir_all(cut.join("checkpoints"))?;
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out.join("checkpoints"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    // The run is cut after the last checkpoint but one.
    let step = names[0].split('.').next().unwrap_or_default().to_owned();
    assert!(!names[names.len() - 1].starts_with(&step), "{names:?}");
    for name in names.iter().filter(|name| name.starts_with(&step)) {
        let name = Path::new("checkpoints").join(name);
        std::fs::copy(out.join(&name), cut.join(&name))?;
    }
    let resumed = recipe.task(tokenizer()?)?;
    assert_ne!(bits(&resumed)?, bits(&whole)?);
    run(&resumed, plan, cut, true)?;
    assert_eq!(bits(&resumed)?, bits(&whole)?);
    Ok((out, before, score(&whole)?))
}

/// Message of the error that refuses a recipe.
fn refused<R: Recipe>(recipe: R) -> Result<String, Box<dyn Error>> {
    let refused = recipe.task(tokenizer()?).err();
    Ok(refused.map(|error| error.to_string()).unwrap_or_default())
}

const RERANK: &str = r#"
    [data]
    lists = ["FOLDER/lists.jsonl"]
    held_out = ["FOLDER/held.jsonl"]
    queries = 4
    negatives = 2
    tokens = 24
    [schedule]
    steps = 40
"#;

/// Lists in which passages that say "good" answer and those that say "bad" do not; a third negative is borrowed.
fn write_lists(folder: &Path) -> Checked {
    let nouns = ["cat", "dog", "bird", "fish", "tree", "ann", "bob", "carl"];
    let line = |at: usize| {
        let (noun, next) = (nouns[at % 8], nouns[(at + 3) % 8]);
        let good = format!("the good {noun} is in paris.");
        let bad = [format!("a bad {noun}"), format!("the bad {next} sees a {noun}")];
        serde_json::json!({"query": format!("where is the {noun}"), "positive": good, "negatives": bad[..1 + at % 2]})
    };
    let lines = |range: std::ops::Range<usize>| range.map(|at| format!("{}\n", line(at))).collect::<String>();
    std::fs::write(folder.join("lists.jsonl"), lines(0..12))?;
    std::fs::write(folder.join("held.jsonl"), lines(12..16))?;
    Ok(())
}

#[test]
fn a_reranker_learns_resumes_and_opens_again() -> Checked {
    let folder = tempfile::tempdir()?;
    write_lists(folder.path())?;
    let recipe: RerankRecipe = recipe(RERANK, folder.path())?;
    let task = recipe.clone().task(tokenizer()?)?;
    let (out, before, after) = learns_and_resumes(recipe, folder.path())?;
    assert!(before < 0.99 && after == 1.0, "{before} {after}");
    assert!(task.describe().contains("12 queries"), "{}", task.describe());

    let model = PairScorer::open(&ModelFiles::folder(&out)?, &Device::Cpu)?;
    let pair = |passage: &str| -> Result<_, Box<dyn Error>> {
        let pair = tokenizer()?.encode_pair("where is", passage, 24)?;
        Ok((pair.ids, pair.type_ids))
    };
    let ((good, good_types), (bad, bad_types)) = (pair("the good dog is here")?, pair("a bad cat")?);
    let batch = Batch::new(&[good, bad], Some(&[good_types, bad_types]), 0, &Device::Cpu)?;
    let scores = model
        .forward(&batch, &mut Pass::infer())?
        .flatten_all()?
        .to_vec1::<f32>()?;
    assert!(scores[0] > scores[1], "{scores:?}");
    Ok(())
}

#[test]
fn every_loss_of_a_reranker_gives_every_variable_a_gradient() -> Checked {
    let folder = tempfile::tempdir()?;
    write_lists(folder.path())?;
    let rows: String = (0..24)
        .map(|at| {
            let noun = ["cat", "dog", "bird", "fish"][at % 4];
            let passage = format!(
                "the {} {noun}",
                ["good", "fine", "poor", "bad", "red", "blue"][at / 4]
            );
            let score = 1.0 - (at / 4) as f32 / 5.0;
            let row = serde_json::json!({"query": format!("a {noun}"), "passage": passage, "score": score});
            format!("{row}\n")
        })
        .collect();
    std::fs::write(folder.path().join("rows.jsonl"), rows)?;
    for kind in [
        "binary",
        "softmax",
        "margin_mse",
        "rank_net",
        "list_net",
        "lambda",
    ] {
        let own = RERANK.replace("lists.jsonl", "rows.jsonl") + &format!("[loss]\nkind = \"{kind}\"\n");
        let recipe: RerankRecipe = recipe(&own, folder.path())?;
        let task = recipe.task(tokenizer()?)?;
        let mut gradients = encoder::backward(&task.loss(0)?.loss)?;
        for (name, var) in task.variables() {
            let gradient = gradients
                .remove(&var)
                .ok_or(format!("{kind}: {name} has no gradient"))?;
            let size = gradient.sqr()?.sum_all()?.to_scalar::<f32>()?;
            assert!(size.is_finite(), "{kind}: {name}");
            assert!(size > 0.0 || task.rate(&name) == 0.0, "{kind}: {name}");
        }
        // Only the binary loss trains probabilities; a sigmoid of other scores would level the greatest.
        task.save(folder.path())?;
        let config = std::fs::read_to_string(folder.path().join("config.json"))?;
        let activation = match kind {
            "binary" => "torch.nn.modules.activation.Sigmoid",
            _ => "torch.nn.modules.linear.Identity",
        };
        assert!(config.contains(activation), "{kind}: {config}");
    }
    Ok(())
}

#[test]
fn lists_that_a_loss_cannot_use_are_refused_by_line() -> Checked {
    let folder = tempfile::tempdir()?;
    write_lists(folder.path())?;
    let message = |change: &dyn Fn(&mut RerankRecipe)| -> Result<String, Box<dyn Error>> {
        let mut recipe: RerankRecipe = recipe(RERANK, folder.path())?;
        change(&mut recipe);
        refused(recipe)
    };
    let margins = message(&|recipe| recipe.loss.kind = trainer::RerankLossKind::MarginMse)?;
    assert!(margins.contains("lists.jsonl, line 1: no scores"), "{margins}");
    let long = message(&|recipe| recipe.data.tokens = 33)?;
    assert!(long.contains("data.tokens is 33, accepted: up to 32"), "{long}");
    let many = message(&|recipe| recipe.data.queries = 13)?;
    assert!(many.contains("data.queries is 13, accepted: 1 to 12"), "{many}");
    let none = message(&|recipe| recipe.data.negatives = 0)?;
    assert!(none.contains("data.negatives is 0"), "{none}");
    std::fs::write(folder.path().join("held.jsonl"), b"{\"query\":\"\xff\"}\n")?;
    let bytes = message(&|_| ())?;
    assert!(
        bytes.contains("held.jsonl:1:11: byte 0xff is not valid UTF-8"),
        "{bytes}"
    );
    Ok(())
}

const READER: &str = r#"
    [data]
    squad = ["FOLDER/train.json"]
    held_out = ["FOLDER/dev.json"]
    batch = 8
    tokens = 20
    overlap = 4
    question_tokens = 6
    answer_tokens = 3
    unanswerable = 0.5
    [schedule]
    steps = 120
"#;

/// A set in which the answer is always the place after "in".
fn squad(questions: usize, offset: usize) -> serde_json::Value {
    let nouns = ["cat", "dog", "bird", "fish", "tree"];
    let paragraph = |at: usize| {
        let (noun, place) = (nouns[at % 5], ["rome", "paris"][at % 2]);
        let before = format!(
            "{} sees the {noun} and the {noun} is in ",
            ["ann", "bob", "carl"][at % 3]
        );
        let answer = serde_json::json!({"text": place, "answer_start": before.chars().count()});
        serde_json::json!({"context": format!("{before}{place}. the tree is good."), "qas": [
            {"id": at.to_string(), "question": format!("where is the {noun} ?"), "answers": [answer]}]})
    };
    let paragraphs: Vec<_> = (offset..offset + questions).map(paragraph).collect();
    serde_json::json!({"version": "1.1", "data": [{"title": "T", "paragraphs": paragraphs}]})
}

#[test]
fn a_reader_learns_resumes_and_opens_again() -> Checked {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("train.json"), squad(30, 0).to_string())?;
    std::fs::write(folder.path().join("dev.json"), squad(10, 30).to_string())?;
    let recipe: ReaderRecipe = recipe(READER, folder.path())?;
    let task = recipe.clone().task(tokenizer()?)?;
    let described = task.describe();
    assert!(
        described.contains("30 questions of 30 paragraphs and 15 made without an answer"),
        "{described}"
    );
    let (out, before, after) = learns_and_resumes(recipe, folder.path())?;
    assert!(before < 0.5 && after > 0.9, "{before} {after}");

    let reader = infer::Reader::open(&ModelFiles::folder(&out)?, &infer::ModelSettings::new(1))?;
    assert_eq!(reader.settings().window_tokens, 20);
    let text = "bob sees the dog and the dog is in paris. the tree is good.";
    let nowhere = "ann sees the bird and the dog. the tree is good.";
    let readings = reader.read(&[("where is the dog ?", text), ("where is the bird ?", nowhere)])?;
    assert_eq!(&text[readings[0].span.clone()], "paris");
    assert!(readings[0].margin() > readings[1].margin(), "{readings:?}");
    Ok(())
}

#[test]
fn a_reader_is_judged_by_the_rules_of_its_set() -> Checked {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("train.json"), squad(8, 0).to_string())?;
    let mut dev = squad(4, 8);
    for at in [1, 3] {
        dev["data"][0]["paragraphs"][at]["qas"][0]["answers"] = serde_json::json!([]);
    }
    std::fs::write(folder.path().join("dev.json"), dev.to_string())?;
    let recipe: ReaderRecipe = recipe(READER, folder.path())?;
    let task = recipe.clone().task(tokenizer()?)?;
    // Whoever says nothing is right for half of them; the best threshold is at least that good.
    let scores = task.evaluate()?;
    assert_eq!((scores[0].0, scores[1].0), ("f1", "exact"));
    assert!(
        scores.iter().all(|score| (0.5..=1.0).contains(&score.1)),
        "{scores:?}"
    );

    let message = |change: &dyn Fn(&mut ReaderRecipe)| -> Result<String, Box<dyn Error>> {
        let mut recipe = recipe.clone();
        change(&mut recipe);
        refused(recipe)
    };
    let share = message(&|recipe| recipe.data.unanswerable = 1.5)?;
    assert!(
        share.contains("data.unanswerable is 1.5, accepted: 0 to 1"),
        "{share}"
    );
    let overlap = message(&|recipe| recipe.data.overlap = 10)?;
    assert!(overlap.contains("overlap_tokens is 10"), "{overlap}");
    let missing = message(&|recipe| recipe.data.squad = vec![folder.path().join("no.json")])?;
    assert!(missing.contains("no.json"), "{missing}");
    Ok(())
}

const CLASSIFY: &str = r#"
    [data]
    train = ["FOLDER/train.tsv"]
    held_out = ["FOLDER/dev.jsonl"]
    text = "sentence"
    label = "mood"
    weights = "balanced"
    batch = 6
    tokens = 16
    [schedule]
    steps = 150
"#;

/// Sentences whose mood is that of one word, more glad than sad ones.
fn write_moods(folder: &Path) -> Checked {
    let (nouns, words) = (
        ["cat", "dog", "bird", "fish"],
        [("good", "glad"), ("fine", "glad"), ("bad", "sad")],
    );
    let row = |at: usize| {
        let (word, mood) = words[at % 3];
        (format!("the {} is {word}.", nouns[at % 4]), mood)
    };
    let lines: String = (0..36)
        .map(|at| format!("{}\t{}\t{at}\n", row(at).1, row(at).0))
        .collect();
    std::fs::write(folder.join("train.tsv"), format!("mood\tsentence\tid\n{lines}"))?;
    let lines = (36..48).map(|at| serde_json::json!({"mood": row(at).1, "sentence": row(at).0, "id": at}));
    std::fs::write(
        folder.join("dev.jsonl"),
        lines.map(|line| format!("{line}\n")).collect::<String>(),
    )?;
    Ok(())
}

#[test]
fn a_classifier_learns_resumes_and_opens_again() -> Checked {
    let folder = tempfile::tempdir()?;
    write_moods(folder.path())?;
    let recipe: ClassifyRecipe = recipe(CLASSIFY, folder.path())?;
    let (out, before, after) = learns_and_resumes(recipe.clone(), folder.path())?;
    assert!(before < 0.9 && after == 1.0, "{before} {after}");

    let model = PairScorer::open(&ModelFiles::folder(&out)?, &Device::Cpu)?;
    let config = model.bert.config();
    assert_eq!(config.extra["id2label"]["1"], "sad");
    let rows =
        ["the bird is good.", "the cat is bad."].map(|text| tokenizer()?.ids(text, 16).map_err(Box::from));
    let rows = rows.into_iter().collect::<Result<Vec<_>, Box<dyn Error>>>()?;
    let logits = model.forward(&Batch::new(&rows, None, 0, &Device::Cpu)?, &mut Pass::infer())?;
    let logits = logits.to_vec2::<f32>()?;
    assert!(
        logits[0][0] > logits[0][1] && logits[1][0] < logits[1][1],
        "{logits:?}"
    );

    // It may go on from there, with another head and half of its layers.
    let mut next = recipe;
    next.model = None;
    next.start = Some(trainer::start::Start {
        model: out,
        layers: Some(vec![1]),
        dropout: Some(0.0),
    });
    next.data.labels = Some(["sad", "glad", "angry"].map(str::to_owned).to_vec());
    let task = next.task(tokenizer()?)?;
    let described = task.describe();
    assert!(
        described.contains("new: classifier.bias, classifier.weight"),
        "{described}"
    );
    Ok(())
}

#[test]
fn a_regression_of_pairs_learns() -> Checked {
    let folder = tempfile::tempdir()?;
    let words = ["good", "fine", "poor", "bad"];
    let rows = |range: std::ops::Range<usize>| -> String {
        range
            .map(|at| {
                let (one, other) = (at % 4, at / 4 % 4);
                let score = ["1", "0.7", "0.3", "0"][other];
                format!("{score}\tthe {} cat\tthe {} dog\n", words[one], words[other])
            })
            .collect()
    };
    let header = "score\tone\tother\n";
    std::fs::write(folder.path().join("train.tsv"), header.to_owned() + &rows(0..32))?;
    std::fs::write(folder.path().join("dev.tsv"), header.to_owned() + &rows(0..16))?;
    let own = r#"
        [data]
        train = ["FOLDER/train.tsv"]
        held_out = ["FOLDER/dev.tsv"]
        text = "one"
        pair = "other"
        label = "score"
        kind = "number"
        batch = 8
        tokens = 16
        [schedule]
        steps = 300
    "#;
    let (out, before, after) =
        learns_and_resumes(recipe::<ClassifyRecipe>(own, folder.path())?, folder.path())?;
    assert!(before < 0.6 && after > 0.8, "{before} {after}");
    let config = std::fs::read_to_string(out.join("config.json"))?;
    assert!(config.contains("\"regression\""), "{config}");
    Ok(())
}

#[test]
fn a_table_without_names_gets_them_from_the_recipe() -> Checked {
    let folder = tempfile::tempdir()?;
    write_moods(folder.path())?;
    let named = recipe::<ClassifyRecipe>(CLASSIFY, folder.path())?;
    let train = folder.path().join("train.tsv");
    let table = std::fs::read_to_string(&train)?;
    let rows = table.split_once('\n').map_or("", |(_, rows)| rows);
    let bare = folder.path().join("bare.tsv");
    std::fs::write(&bare, rows)?;
    let mut given = named.clone();
    given.data.train = vec![bare.clone()];
    given.data.columns = Some(vec!["mood".into(), "sentence".into()]);
    let task = named.clone().task(tokenizer()?)?;
    let same = given.clone().task(tokenizer()?)?;
    for number in 0..6 {
        let batch = serde_json::to_value(task.prepare(number)?)?;
        let other = serde_json::to_value(same.prepare(number)?)?;
        assert_eq!(batch["rows"], other["rows"], "third columns are passed over");
    }
    std::fs::write(&bare, "glad\n")?;
    let short = refused(given)?;
    assert!(
        short.contains("bare.tsv, line 1: 1 columns; accepted: 2, or more, those of data.columns"),
        "{short}"
    );
    Ok(())
}

#[test]
fn labelled_texts_that_do_not_fit_are_refused_by_line_and_column() -> Checked {
    let folder = tempfile::tempdir()?;
    write_moods(folder.path())?;
    let message = |change: &dyn Fn(&mut ClassifyRecipe)| -> Result<String, Box<dyn Error>> {
        let mut recipe: ClassifyRecipe = recipe(CLASSIFY, folder.path())?;
        change(&mut recipe);
        refused(recipe)
    };
    let column = message(&|recipe| recipe.data.text = "text".into())?;
    let known =
        "line 1: no column \"text\"; accepted in data.text, data.pair and data.label: mood, sentence, id";
    assert!(column.contains(known), "{column}");
    let label = message(&|recipe| recipe.data.labels = Some(vec!["sad".into(), "angry".into()]))?;
    assert!(
        label.contains("train.tsv, line 2: label \"glad\"; accepted: sad, angry"),
        "{label}"
    );
    let number = message(&|recipe| {
        recipe.data.kind = LabelKind::Number;
        recipe.data.weights = ClassWeights::Even;
    })?;
    assert!(
        number.contains("label \"glad\"; accepted with kind = \"number\""),
        "{number}"
    );
    let one = message(&|recipe| recipe.data.labels = Some(vec!["glad".into()]))?;
    assert!(one.contains("two or more different labels"), "{one}");
    let weights = message(&|recipe| recipe.data.weights = ClassWeights::Given(vec![1.0]))?;
    assert!(weights.contains("2 numbers above 0, for glad, sad"), "{weights}");
    let layers = message(&|recipe| recipe.tuning.freeze_layers = 3)?;
    assert!(layers.contains("tuning.freeze_layers is 3"), "{layers}");
    let put = |bytes: &[u8]| std::fs::write(folder.path().join("train.tsv"), bytes);
    put(b"mood\tsentence\tid\nglad\ta\n")?;
    let cells = message(&|_| ())?;
    assert!(cells.contains("line 2: 2 columns; accepted: 3"), "{cells}");
    put(b"mood\tsentence\tid\nglad\t\xff\t1\n")?;
    let bytes = message(&|_| ())?;
    assert!(
        bytes.contains("train.tsv:2:6: byte 0xff is not valid UTF-8"),
        "{bytes}"
    );
    for nothing in ["", "mood\tsentence\tid\n"] {
        put(nothing.as_bytes())?;
        assert!(message(&|_| ())?.contains("train.tsv holds no labelled texts"));
    }
    Ok(())
}

const TAG: &str = r#"
    [data]
    train = ["FOLDER/train.conll"]
    held_out = ["FOLDER/dev.conll"]
    batch = 5
    tokens = 12
    [schedule]
    steps = 60
"#;

#[test]
fn a_tagger_learns_resumes_and_opens_again() -> Checked {
    let folder = tempfile::tempdir()?;
    let lines = |range: std::ops::Range<usize>| -> String {
        range
            .map(|at| {
                let (who, place) = (["ann", "bob", "carl"][at % 3], ["rome", "paris"][at % 2]);
                let noun = ["cat", "dog", "bird", "fish"][at % 4];
                format!("{who} B-PER\nlikes O\nthe O\n{noun}s O\nin O\n{place} B-LOC\n{place} I-LOC\n. O\n\n")
            })
            .collect()
    };
    std::fs::write(folder.path().join("train.conll"), lines(0..20))?;
    std::fs::write(folder.path().join("dev.conll"), lines(20..28))?;
    let (out, before, after) = learns_and_resumes(recipe::<TagRecipe>(TAG, folder.path())?, folder.path())?;
    assert!(before < 0.5 && after == 1.0, "{before} {after}");

    let model = infer::TokenModel::tagger(&ModelFiles::folder(&out)?, &infer::ModelSettings::new(1))?;
    let found = model.logits(&[("bob likes the cats in rome rome.", None)])?;
    let best =
        |row: &Vec<f32>| (0..row.len()).fold(0, |best, at| if row[at] > row[best] { at } else { best });
    // The first token of each word; the fifth is the end of "cats".
    let tags = [1, 2, 3, 4, 6, 7, 8, 9].map(|at| best(&found[0].logits[at]));
    // O, B-LOC, I-LOC, B-PER, I-PER
    assert_eq!(tags, [3, 0, 0, 0, 0, 1, 2, 0]);
    Ok(())
}

#[test]
fn frozen_parts_stay_as_they_are() -> Checked {
    let folder = tempfile::tempdir()?;
    write_moods(folder.path())?;
    let mut recipe: ClassifyRecipe = recipe(CLASSIFY, folder.path())?;
    recipe.tuning = trainer::tuning::Tuning {
        layer_decay: 0.5,
        freeze_embeddings: true,
        freeze_layers: 1,
    };
    recipe.schedule.steps = 5;
    let (plan, task) = (recipe.plan()?, recipe.task(tokenizer()?)?);
    let before = bits(&task)?;
    run(&task, plan, folder.path().join("out"), false)?;
    for ((name, before), (_, after)) in before.iter().zip(&bits(&task)?) {
        let frozen = name.contains("embeddings") || name.contains("layer.0.");
        assert_eq!(before == after, frozen, "{name}");
    }
    Ok(())
}
