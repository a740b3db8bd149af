//! From sources to pairs to a sentence encoder that an index takes.

use crate::fixture::{Journey, lines};

const RECIPE: &str = r#"
seed = 1
tokenizer = "vocabulary"
out = "model"
model = { hidden = 16, layers = 1, heads = 2, intermediate = 32, positions = 64 }
data = { pairs = "pairs.jsonl", positives = 4, queries_per_positive = 2, query_tokens = 32, positive_tokens = 64 }
loss = { contrastive = 1.0 }
optimizer = { accumulate = 2 }
schedule = { steps = 6 }
saving = { log_steps = 2 }
"#;

const ENDLESS: &str = r#"
seed = 1
tokenizer = "vocabulary"
out = "model"
model = { hidden = 16, layers = 1, heads = 2, intermediate = 32, positions = 32 }
data = { texts = ["texts.txt"], tokens = 16, batch = 4 }
schedule = { steps = 1000000 }
saving = { log_steps = 1 }
"#;

fn document(number: usize) -> String {
    let text = format!("The bridge number {number} of the old town stands on granite and clay. ").repeat(5);
    let sections = serde_json::json!([{"heading": "Place", "paragraphs": [text]}]);
    let title = format!("Bridge {number}");
    serde_json::json!({"source": "guide", "title": title, "sections": sections}).to_string() + "\n"
}

#[test]
fn documents_become_pairs_and_pairs_a_model_that_searches() {
    let journey = Journey::new();
    journey.put("documents.jsonl", (0..40).map(document).collect::<String>());
    journey.put("recipe.toml", RECIPE);
    let vocabulary = [
        "--out",
        "vocabulary",
        "--size",
        "200",
        "--alphabet",
        "60",
        "--max-tokens",
        "64",
    ];
    journey
        .cloze(&[&["train", "vocab", "documents.jsonl"], &vocabulary[..]].concat())
        .well();
    let gather = [
        "train",
        "pairs",
        "--documents",
        "documents.jsonl",
        "--max-per-source",
        "24",
    ];
    let said = journey
        .cloze(&[&gather[..], &["--out", "pairs.jsonl"]].concat())
        .well();
    assert!(
        said.out.contains("queries of 24 positives in pairs.jsonl"),
        "{said:?}"
    );
    let pairs = std::fs::read(journey.path("pairs.jsonl")).unwrap();
    journey
        .cloze(&[&gather[..], &["--out", "again.jsonl"]].concat())
        .well();
    assert_eq!(pairs, std::fs::read(journey.path("again.jsonl")).unwrap());

    // Not a terminal: lines instead of a bar.
    let said = journey.cloze(&["train", "sentence", "recipe.toml"]).well();
    let steps = said.out.lines().filter(|line| line.contains("% step "));
    assert_eq!(steps.count(), 3, "{said:?}");
    assert!(said.out.contains("6 steps in") && said.err.is_empty(), "{said:?}");
    let card = std::fs::read_to_string(journey.path("model/README.md")).unwrap();
    for part in [
        "| steps | 6 |",
        "| pairs.jsonl | ",
        "| vocabulary/tokenizer.json | ",
        "accumulate = 2",
    ] {
        assert!(card.contains(part), "{part}: {card}");
    }
    let quiet = [
        "train",
        "sentence",
        "recipe.toml",
        "--quiet",
        "--set",
        "out=other",
    ];
    let said = journey.cloze(&quiet).well();
    assert!(!said.out.contains("% step "), "{said:?}");

    journey.put("in.jsonl", lines(&["granite bridge", "clay tower"]));
    journey
        .cloze(&["index", "in.jsonl", "--model", "model", "--chunk-tokens", "64"])
        .well();
    assert_eq!(journey.found(&["granite bridge", "--mode", "dense"]).len(), 2);
}

#[test]
#[cfg(unix)]
fn ctrl_c_leaves_a_checkpoint_to_go_on_from() {
    let journey = Journey::new();
    journey.put(
        "texts.txt",
        "granite and clay stand on the old bridge of the town\n".repeat(40),
    );
    let vocabulary = [
        "train",
        "vocab",
        "texts.txt",
        "--out",
        "vocabulary",
        "--size",
        "100",
        "--alphabet",
        "40",
        "--max-tokens",
        "32",
    ];
    journey.cloze(&vocabulary).well();
    journey.put("recipe.toml", ENDLESS);
    let follow = ["train", "mlm", "recipe.toml"];
    let said = journey.cloze(&[&follow[..], &["--dry-run"]].concat()).well();
    assert!(
        said.out.contains("steps of about 64 tokens") && said.out.contains("MiB moments"),
        "{said:?}"
    );

    let child = journey
        .command(&follow)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let log = journey.path("model/log.jsonl");
    let lines = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
    while lines() < 3 {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let asked = std::process::Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(asked.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    let out = String::from_utf8(ended.stdout).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{out}");
    let after = out.split("interrupted after step ").nth(1).unwrap();
    let step = after.split(';').next().unwrap();
    assert!(
        journey
            .path(&format!("model/checkpoints/step-{step:0>10}.json"))
            .exists(),
        "{said:?}"
    );
    assert!(!journey.path("model/model.safetensors").exists());

    let said = journey.cloze(&[&follow[..], &["--resume", "--set", "schedule.steps=3"]].concat());
    assert!(
        said.code == 1 && said.err.contains("schedule.steps was 1000000 and is 3"),
        "{said:?}"
    );
    // A new run does not write over it, and says so before it reads any data.
    let said = journey.cloze(&follow);
    assert!(
        said.code == 1 && said.err.contains("holds a run already") && said.out.is_empty(),
        "{said:?}"
    );
}

#[test]
fn a_damaged_source_is_named() {
    let journey = Journey::new();
    journey.put("documents.jsonl", document(1) + "{\"title\": }\n");
    let said = journey.cloze(&[
        "train",
        "pairs",
        "--documents",
        "documents.jsonl",
        "--out",
        "pairs.jsonl",
    ]);
    assert!(
        said.code == 1 && said.err.contains("documents.jsonl, line 2: "),
        "{said:?}"
    );
    let said = journey.cloze(&["train", "pairs", "--out", "pairs.jsonl"]);
    assert!(
        said.code == 1 && said.err.contains("at least one file"),
        "{said:?}"
    );
}
