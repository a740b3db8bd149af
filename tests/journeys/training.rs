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

    let said = journey.interrupted(&follow, || journey.count_lines("model/log.jsonl") >= 3);
    assert_eq!(said.code, 130, "{said:?}");
    let after = said.out.split("interrupted after step ").nth(1).unwrap();
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

#[test]
#[cfg(unix)]
fn scoring_goes_on_after_ctrl_c() {
    let journey = Journey::new();
    let pair = |number: usize| {
        let text = |place: usize| format!("The bridge number {place} of the old town stands on granite.");
        let negatives: Vec<String> = (1..5).map(|further| text(number + further)).collect();
        let query = format!("Where is bridge {number}?");
        serde_json::json!({"query": query, "positive": text(number), "negatives": negatives, "by": "a"})
            .to_string()
            + "\n"
    };
    journey.put("mined.jsonl", (0..400).map(pair).collect::<String>());
    let score = |out| {
        [
            "train",
            "score",
            "--model",
            "bundled",
            "--pairs",
            "mined.jsonl",
            "--out",
            out,
        ]
    };
    let begun = "scored.jsonl.scoring/lines.jsonl";
    let said = journey.interrupted(&score("scored.jsonl"), || journey.count_lines(begun) >= 8);
    assert!(
        said.code == 130 && said.out.contains("the same command goes on from there"),
        "{said:?}"
    );
    assert!(!journey.path("scored.jsonl").exists());

    // Lines of two sources in one file would be worth nothing.
    let all = std::fs::read_to_string(journey.path("mined.jsonl")).unwrap();
    journey.put("mined.jsonl", all.replace("granite", "clay"));
    let said = journey.cloze(&score("scored.jsonl"));
    assert!(
        said.code == 1 && said.err.contains("other options, pairs or model"),
        "{said:?}"
    );
    journey.put("mined.jsonl", all);

    let kept = std::fs::read_to_string(journey.path(begun)).unwrap();
    journey.put(begun, kept.replace("\"by\":\"a\"", "\"by\":\"kept\""));
    journey.cloze(&score("scored.jsonl")).well();
    journey.cloze(&score("whole.jsonl")).well();
    let text = |name| std::fs::read_to_string(journey.path(name)).unwrap();
    let scored = text("scored.jsonl");
    let count = scored.matches("\"by\":\"kept\"").count();
    assert!((8..400).contains(&count), "{count}");
    assert_eq!(scored.replace("\"kept\"", "\"a\""), text("whole.jsonl"));
    assert_eq!(text("whole.jsonl").matches("\"scores\":[").count(), 400);
}
