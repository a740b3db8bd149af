//! Cross-encoders over lists.

use encoder::{Batch, Device, PairScorer, Pass};
use trainer::RerankRecipe;

use super::*;

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
