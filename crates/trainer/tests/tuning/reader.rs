//! Extractive readers.

use trainer::ReaderRecipe;

use super::*;

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

/// "The first cat" becomes "the last cat", which no paragraph speaks of: a question more for each that there was.
#[test]
fn a_reader_learns_that_altered_questions_have_no_answer() -> Checked {
    let folder = tempfile::tempdir()?;
    let first = squad(30, 0).to_string().replace(" is the ", " is the first ");
    std::fs::write(folder.path().join("train.json"), first)?;
    std::fs::write(folder.path().join("dev.json"), squad(4, 30).to_string())?;
    let mut recipe: ReaderRecipe = recipe(READER, folder.path())?;
    (recipe.data.unanswerable, recipe.data.unanswerable_altered) = (0.0, 1.0);
    let task = recipe.task(tokenizer()?)?;
    let described = task.describe();
    assert!(
        described.contains("30 questions of 30 paragraphs and 30 made without an answer"),
        "{described}"
    );
    let batch = serde_json::to_value(task.prepare(0)?)?;
    let asked = batch["questions"].as_array().ok_or("no questions")?;
    let ends = batch["ends"].as_array().ok_or("no ends")?;
    for (question, end) in asked.iter().zip(ends) {
        let is_altered = question.as_str().is_some_and(|id| id.ends_with(" altered"));
        assert_eq!(is_altered, end == 0, "{batch}");
    }
    assert!(ends.iter().any(|end| end == 0) && ends.iter().any(|end| end != 0));
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
