//! Hostile texts give the ids and byte spans that `transformers` gives (tests/reference/text_golden.py).
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::error::Error;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use text::Tokenizer;

type Outcome = Result<(), Box<dyn Error>>;

#[derive(Deserialize)]
struct Golden {
    texts: Vec<Source>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Source {
    Plain(String),
    Repeated { repeat: String, times: usize },
}

#[derive(Deserialize)]
struct Case {
    texts: Vec<usize>,
    limit: usize,
    ids: Vec<u32>,
    types: Vec<u32>,
    special: Vec<u8>,
    spans: Vec<(usize, usize)>,
}

impl Source {
    fn text(&self) -> String {
        match self {
            Self::Plain(text) => text.clone(),
            Self::Repeated { repeat, times } => repeat.repeat(*times),
        }
    }
}

fn golden(name: &str) -> Result<Golden, Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn open(folder: &Path) -> Result<Tokenizer, text::Error> {
    Tokenizer::from_files(|name| std::fs::read(folder.join(name)).ok())
}

fn tiny() -> Result<Tokenizer, text::Error> {
    open(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny"))
}

fn check(tokenizer: &Tokenizer, golden: &Golden) -> Outcome {
    for case in &golden.cases {
        let texts: Vec<String> = case.texts.iter().map(|&at| golden.texts[at].text()).collect();
        let label = format!("texts {:?}, limit {}", case.texts, case.limit);
        let found = match texts.as_slice() {
            [one] => {
                assert_eq!(tokenizer.ids(one, case.limit)?, case.ids, "{label}");
                tokenizer.encode(one, case.limit)?
            }
            [first, second] => tokenizer.encode_pair(first, second, case.limit)?,
            _ => return Err(format!("{label}: one or two texts are expected").into()),
        };
        assert_eq!(found.ids, case.ids, "{label}");
        assert_eq!(found.type_ids, case.types, "{label}");
        assert_eq!(found.spans, case.spans, "{label}");
        let special: Vec<u8> = found.special_mask.iter().map(|&mask| mask.into()).collect();
        assert_eq!(special, case.special, "{label}");
        for (&(begin, end), owner) in found.spans.iter().zip(&found.sequence_ids) {
            let text = &texts[owner.unwrap_or(0)];
            assert!(
                text.get(begin..end).is_some(),
                "{label}: {begin}..{end} is no slice of the text"
            );
        }
    }
    Ok(())
}

#[test]
fn tiny_vocabulary_agrees_with_the_reference() -> Outcome {
    check(&tiny()?, &golden("tiny.json")?)
}

#[test]
#[allow(clippy::print_stderr, reason = "says why it is skipped")]
fn minilm_agrees_with_the_reference() -> Outcome {
    let Some(folder) = std::env::var_os("CLOZE_MINILM_DIR") else {
        eprintln!("skipped: CLOZE_MINILM_DIR is not set");
        return Ok(());
    };
    check(&open(&PathBuf::from(folder))?, &golden("minilm.json")?)
}

#[test]
fn a_batch_is_its_texts() -> Outcome {
    let tokenizer = tiny()?;
    let texts: Vec<String> = golden("tiny.json")?.texts.iter().map(Source::text).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let batch = tokenizer.encode_batch(&texts, 32)?;
    assert_eq!(batch.len(), texts.len());
    for (text, encoding) in texts.iter().zip(&batch) {
        assert_eq!(&tokenizer.encode(text, 32)?, encoding);
    }
    Ok(())
}

#[test]
fn counts_decodes_and_tells_what_was_cut() -> Outcome {
    let tokenizer = tiny()?;
    let text = "the quick brown fox jumps";
    assert_eq!(tokenizer.count_tokens(text)?, 7);
    let whole = tokenizer.encode(text, 9)?;
    assert!(!whole.truncated);
    assert_eq!(tokenizer.decode(&whole.ids)?, text);
    assert!(tokenizer.encode(text, 8)?.truncated);
    let error = tokenizer
        .encode(text, 2)
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(error.contains("limit of 2"), "{error}");
    Ok(())
}

#[test]
fn stored_truncation_and_padding_do_not_count() -> Outcome {
    let folder = tempfile::tempdir()?;
    tiny()?.save(folder.path(), 64)?;
    let path = folder.path().join("tokenizer.json");
    let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(&path)?)?;
    file["truncation"] = serde_json::json!(
        {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0});
    file["padding"] = serde_json::json!(
        {"strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": null,
         "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    std::fs::write(&path, file.to_string())?;
    let text = "the quick brown fox";
    assert_eq!(open(folder.path())?.encode(text, 64)?, tiny()?.encode(text, 64)?);
    Ok(())
}

#[test]
fn damaged_folders_say_what_is_wrong() -> Outcome {
    let folder = tempfile::tempdir()?;
    let message = |folder: &Path| open(folder).err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message(folder.path()).contains("neither"));
    std::fs::write(folder.path().join("vocab.txt"), "[UNK]\nword\n")?;
    assert!(
        message(folder.path()).contains("padding"),
        "{}",
        message(folder.path())
    );
    std::fs::write(folder.path().join("tokenizer.json"), "{\"version\": ")?;
    assert!(
        message(folder.path()).starts_with("tokenizer.json"),
        "{}",
        message(folder.path())
    );
    Ok(())
}
