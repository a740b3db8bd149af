//! A model learns a folder of documents, and stays as it was when it would get worse.

use crate::fixture::Journey;

const SUBJECTS: [&str; 6] = [
    "granite bridge",
    "harbour crane",
    "copper kettle",
    "night train",
    "chalk quarry",
    "reed organ",
];
const VERBS: [&str; 5] = [
    "was built",
    "was measured",
    "was painted",
    "was sold",
    "was forgotten",
];

/// A page about one thing in one place.
fn page(number: usize) -> String {
    let (subject, verb) = (SUBJECTS[number % 6], VERBS[number / 6 % 5]);
    let place = format!("district {number}");
    let sentence = |at: usize| {
        format!(
            "In {place} the {subject} {} near house {} by the people of the {at}th street. ",
            VERBS[(number + at) % 5],
            number * 7 + at
        )
    };
    let text: String = (0..4).map(sentence).collect();
    format!("# The {subject} that {verb} in {place}\n\n{text}\n")
}

fn journey() -> Journey {
    let journey = Journey::new();
    for number in 0..90 {
        journey.put(&format!("pages/{number}.md"), page(number));
    }
    journey
}

/// Settings that take seconds.
const SHORT: [&str; 8] = [
    "--held-out",
    "0.3",
    "--set",
    "sentence.schedule.steps=3",
    "--set",
    "sentence.data.positives=8",
    "--set",
    "sentence.data.positive_tokens=64",
];

#[test]
fn a_model_is_adapted_and_the_new_one_searches() {
    let journey = journey();
    journey.put("pages/empty.md", "");
    let command = [&["train", "adapt", "pages", "--out", "adapted"], &SHORT[..]].concat();
    let command = [&command[..], &["--set", "sentence.optimizer.learning_rate=1e-6"]].concat();
    let said = journey.cloze(&command);
    assert!(said.code == 1 && said.err.contains("empty.md"), "{said:?}");
    let said = journey.cloze(&[&command[..], &["--on-error", "skip"]].concat());
    assert!(
        said.out.contains("90 documents, of which") && said.out.contains("bad records skipped: 1;"),
        "{said:?}"
    );
    assert!(
        said.out.contains("nDCG@10 of") && said.out.contains("95 % from"),
        "{said:?}"
    );
    // So small a change may go either way; what is kept must fit what was said.
    let is_kept = said.code == 0;
    assert_eq!(
        is_kept,
        journey.path("adapted/model.safetensors").exists(),
        "{said:?}"
    );
    assert_eq!(is_kept, said.out.contains("model in adapted"), "{said:?}");
    assert_eq!(is_kept, !journey.path("adapted.adapting").exists(), "{said:?}");
    let model = if is_kept {
        "adapted"
    } else {
        "adapted.adapting/new"
    };
    journey
        .cloze(&["index", "pages", "--model", model, "--on-error", "skip"])
        .well();
    assert_eq!(journey.found(&["granite bridge", "--limit", "5"]).len(), 5);
}

#[test]
fn a_model_that_got_worse_takes_no_ones_place() {
    let journey = journey();
    let command = [&["train", "adapt", "pages", "--out", "adapted"], &SHORT[..]].concat();
    let said = journey.cloze(&[&command[..], &["--set", "sentence.optimizer.learning_rate=1.0"]].concat());
    assert!(
        said.code == 1 && said.err.contains("does not take its place"),
        "{said:?}"
    );
    assert!(!journey.path("adapted").exists());

    journey.put("there/file", "");
    let said = journey.cloze(&["train", "adapt", "pages", "--out", "there"]);
    assert!(said.code == 1 && said.err.contains("there already"), "{said:?}");
    let said = journey.cloze(&["train", "adapt", "pages/1.md", "--out", "new"]);
    assert!(said.code == 1 && said.err.contains("more documents"), "{said:?}");
    let said = journey.cloze(&[
        "train",
        "adapt",
        "pages",
        "--out",
        "other",
        "--set",
        "schedule.steps=1",
    ]);
    assert!(
        said.code == 1 && said.err.contains("expected mlm.KEY=VALUE"),
        "{said:?}"
    );
}

#[test]
fn judged_queries_decide() {
    let journey = Journey::new();
    let row = |number: usize| format!("k{number},\"{}\"\n", page(number).replace('\n', " "));
    let rows: String = (0..90).map(row).collect();
    journey.put("rows.csv", format!("key,body\n{rows}"));
    journey.put("map.toml", "id = 'key'\ntext = 'body'\n");
    let query = |number: usize| format!("{{\"_id\": \"q{number}\", \"text\": \"district {number}\"}}\n");
    journey.put("asked/queries.jsonl", (0..20).map(query).collect::<String>());
    let judge = |prefix: &str| {
        let judgment = |number: usize| format!("q{number}\t{prefix}{number}\t1\n");
        let all: String = (0..12).map(judgment).collect();
        journey.put("asked/qrels/test.tsv", format!("{all}q0\tgone\t1\n"));
    };
    let command = ["train", "adapt", "rows.csv", "--out", "adapted"];
    let said = journey.cloze(&command);
    assert!(said.code == 1 && said.err.contains("rows.csv"), "{said:?}");
    let more = ["--mapping", "map.toml", "--judged", "asked", "--set"];
    let rate = ["sentence.optimizer.learning_rate=1e-6"];
    let command = [&command[..], &SHORT[..], &more[..], &rate[..]].concat();

    let said = journey.cloze(&command);
    assert!(said.code == 1 && said.err.contains("qrels/test.tsv"), "{said:?}");
    judge("page-");
    let said = journey.cloze(&command);
    let is_named = said
        .err
        .contains("none of the 13 documents that are judged is in the corpus")
        && said.err.contains("\"page-0\"")
        && said.err.contains("\"k0\"");
    assert!(said.code == 1 && is_named, "{said:?}");
    judge("k");
    let said = journey.cloze(&command);
    assert!(said.out.contains("held-out queries among"), "{said:?}");
    let missing = "asked: 1 of the 13 documents that are judged are not in the corpus";
    assert!(said.err.contains(missing), "{said:?}");
    let comparison = said
        .out
        .lines()
        .find(|line| line.contains("12 judged queries among 90:"));
    let comparison = comparison.unwrap_or_else(|| panic!("{said:?}"));
    // So small a change may go either way; what is kept must fit what was said.
    let is_worse = said.code == 1;
    assert_eq!(is_worse, said.err.contains("does not take its place"), "{said:?}");
    let is_zero = comparison.contains("difference -0.0000,");
    assert!(
        is_zero || is_worse == comparison.contains("difference -"),
        "{said:?}"
    );
    let folder = if is_worse {
        "adapted.adapting/new"
    } else {
        "adapted"
    };
    let card = std::fs::read_to_string(journey.path(&format!("{folder}/README.md"))).unwrap();
    assert!(card.contains(comparison), "{card}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_adaptation_goes_on_unless_the_corpus_is_another() {
    let journey = journey();
    let command = ["train", "adapt", "pages", "--out", "adapted"];
    let long = [
        "sentence.schedule.steps=12",
        "sentence.optimizer.learning_rate=1e-6",
    ];
    let long = long.map(|change| ["--set", change]).concat();
    let command = [
        &command[..],
        &SHORT[..],
        &long[..],
        &["--set", "sentence.saving.log_steps=1"],
    ]
    .concat();
    let interrupted = || {
        let said = journey.interrupted(&command, || {
            journey.count_lines("adapted.adapting/new/log.jsonl") >= 2
        });
        assert!(
            said.code == 130 && said.out.contains("the same command goes on from there"),
            "{said:?}"
        );
        assert!(said.out.contains("hard negatives found"), "{said:?}");
        assert!(!journey.path("adapted").exists());
    };
    let is_new = |said: &str| said.contains("from step 0") && said.contains("hard negatives found");

    interrupted();
    journey.put("pages/new.md", page(97));
    let said = journey.cloze(&command);
    assert!(is_new(&said.out) && said.out.contains("91 documents"), "{said:?}");

    std::fs::remove_dir_all(journey.path(if said.code == 0 {
        "adapted"
    } else {
        "adapted.adapting"
    }))
    .unwrap();
    interrupted();
    let said = journey.cloze(&command);
    assert!(!is_new(&said.out) && said.out.contains("95 % from"), "{said:?}");
    let folder = if said.code == 0 {
        "adapted"
    } else {
        "adapted.adapting/new"
    };
    let card = std::fs::read_to_string(journey.path(&format!("{folder}/README.md"))).unwrap();
    let comparison = said
        .out
        .lines()
        .find(|line| line.starts_with("nDCG@10 of"))
        .unwrap();
    assert!(card.contains("## Adapted") && card.contains(comparison), "{card}");
}
