//! Taggers of entities.

use trainer::TagRecipe;

use super::*;

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
