//! Classifiers and regressions.

use encoder::{Batch, Device, PairScorer, Pass};
use trainer::ClassifyRecipe;
use trainer::tasks::classify::{ClassWeights, LabelKind};

use super::*;

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
