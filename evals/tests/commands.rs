//! The commands on small files, as a user types them.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::path::Path;

use clap::Parser;
use evals::{EvalCommand, run};
use launch::Exit;
use serde_json::Value;

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    command: EvalCommand,
}

/// Exit code and screen.
fn cloze(arguments: &str) -> anyhow::Result<(Exit, String)> {
    let words = ["eval"].into_iter().chain(arguments.split(' '));
    let mut screen = Vec::new();
    let code = run(&Program::try_parse_from(words)?.command, false, &mut screen)?;
    Ok((code, String::from_utf8(screen)?))
}

const TOPICS: [&str; 5] = [
    "apples and pears",
    "steam engines",
    "coral reefs",
    "medieval castles",
    "jazz music",
];

/// Five documents, five queries that name their words, grades of 1 and 2.
fn collection() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    std::fs::create_dir(folder.path().join("qrels")).unwrap();
    let lines = |line: fn(usize, &str) -> String| -> String {
        TOPICS
            .iter()
            .enumerate()
            .map(|(number, topic)| line(number, topic) + "\n")
            .collect()
    };
    let document = |n: usize, topic: &str| {
        format!(r#"{{"_id":"d{n}","title":"Page {n}","text":"All about {topic}, told at length."}}"#)
    };
    put(
        "corpus.jsonl",
        lines(document) + "{\"_id\":\"empty\",\"title\":\"\",\"text\":\" \"}\n",
    );
    put(
        "queries.jsonl",
        lines(|n, topic| format!(r#"{{"_id":"q{n}","text":"tell me about {topic}"}}"#)),
    );
    let judgments = lines(|n, _| format!("q{n}\td{n}\t{}", 1 + n % 2));
    put(
        "qrels/test.tsv",
        format!("query-id\tcorpus-id\tscore\n{judgments}"),
    );
    folder
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_report_is_made_and_comes_out_again() {
    let (data, out) = (collection(), tempfile::tempdir().unwrap());
    let (data_path, out_path) = (data.path().display(), out.path().display());
    let retrieve = format!("retrieve --data {data_path} --out {out_path} --threads 2");
    let (code, screen) = cloze(&retrieve).unwrap();
    assert_eq!(code, Exit::Success);
    assert!(
        screen.contains("| lexical | 1.0000 (1.0000 to 1.0000) |"),
        "{screen}"
    );
    let report = json(&out.path().join("report.json"));
    assert_eq!(report["data"]["documents"], 5);
    assert_eq!(report["data"]["documents_without_text"], 1);
    assert_eq!(report["runs"][2]["mode"], "hybrid");
    assert_eq!(report["runs"][0]["figures"]["figures"][0]["mean"], 1.0);
    let run_file = std::fs::read_to_string(out.path().join("lexical.run")).unwrap();
    assert!(run_file.starts_with("q0\tQ0\td0\t1\t"), "{run_file}");

    // The index is used again, and the run files do not change.
    let manifest = std::fs::read(out.path().join("index/manifest.json")).unwrap();
    cloze(&retrieve).unwrap();
    assert_eq!(
        std::fs::read(out.path().join("index/manifest.json")).unwrap(),
        manifest
    );
    let second = json(&out.path().join("report.json"));
    assert_eq!(second["runs"][1]["sha256"], report["runs"][1]["sha256"]);

    let verify = format!("verify {out_path}/report.json");
    let (code, screen) = cloze(&verify).unwrap();
    assert_eq!(code, Exit::Success, "{screen}");
}

#[test]
fn verify_names_what_differs() {
    let (data, out) = (collection(), tempfile::tempdir().unwrap());
    let (data_path, out_path) = (data.path().display(), out.path().display());
    cloze(&format!(
        "retrieve --data {data_path} --out {out_path} --modes lexical"
    ))
    .unwrap();
    let verify = format!("verify {out_path}/report.json");
    let differs = |expected: &str| {
        let (code, screen) = cloze(&verify).unwrap();
        assert_eq!(code, Exit::Failure);
        assert!(screen.contains(expected), "{expected}: {screen}");
    };
    // A figure that was touched up.
    let path = out.path().join("report.json");
    let honest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, honest.replacen("\"mean\": 1.0", "\"mean\": 0.9", 1)).unwrap();
    differs("lexical.run: ndcg@10: the report has 0.900000, now it is 1.000000");
    std::fs::write(
        &path,
        honest.replacen("\"chunk_tokens\": 256", "\"chunk_tokens\": 255", 1),
    )
    .unwrap();
    differs("settings_sha256");
    std::fs::write(&path, &honest).unwrap();
    // A run file that was changed.
    let run_path = out.path().join("lexical.run");
    let run_file = std::fs::read_to_string(&run_path).unwrap();
    std::fs::write(&run_path, run_file.replacen("q0\tQ0\td0", "q0\tQ0\td9", 1)).unwrap();
    differs("run file lexical.run");
    std::fs::write(&run_path, &run_file).unwrap();
    // A query that was changed.
    let queries = std::fs::read_to_string(data.path().join("queries.jsonl")).unwrap();
    std::fs::write(data.path().join("queries.jsonl"), queries.replace("jazz", "rock")).unwrap();
    differs("data: queries.jsonl");
}

#[test]
fn an_index_with_other_documents_is_refused() {
    let (data, out) = (collection(), tempfile::tempdir().unwrap());
    let (data_path, out_path) = (data.path().display(), out.path().display());
    let retrieve = format!("retrieve --data {data_path} --out {out_path} --modes lexical");
    cloze(&retrieve).unwrap();
    let corpus = std::fs::read_to_string(data.path().join("corpus.jsonl")).unwrap();
    std::fs::write(
        data.path().join("corpus.jsonl"),
        corpus.replace("\"d4\"", "\"d5\""),
    )
    .unwrap();
    let error = format!("{:#}", cloze(&retrieve).unwrap_err());
    assert!(error.contains("holds 1 documents that are not of"), "{error}");
    let error = format!(
        "{:#}",
        cloze(&format!("{retrieve} --chunk-tokens 64")).unwrap_err()
    );
    assert!(error.contains("chunk"), "{error}");
}

#[test]
fn settings_that_the_model_refuses_leave_no_index() {
    let (data, out) = (collection(), tempfile::tempdir().unwrap());
    let (data_path, out_path) = (data.path().display(), out.path().display());
    let retrieve = format!("retrieve --data {data_path} --out {out_path} --modes lexical");
    let error = cloze(&format!("{retrieve} --chunk-tokens 9999")).unwrap_err();
    assert!(format!("{error:#}").contains("chunk_tokens is 9999"), "{error:#}");
    assert!(!out.path().join("index").exists());
}

#[test]
fn runs_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("qrels", "1 0 a 1\n2 0 b 1\n");
    put("good", "1 Q0 a 1 2.0 x\n2 Q0 b 1 2.0 x\n");
    put("bad", "1 Q0 b 1 2.0 x\n1 Q0 a 2 1.0 x\n");
    let at = folder.path().display();
    let runs = format!("runs --qrels {at}/qrels --run {at}/good {at}/bad --metrics mrr@10,success@1");
    let (_, screen) = cloze(&runs).unwrap();
    assert!(screen.contains("| 1.0000 (1.0000 to 1.0000) |"), "{screen}");
    assert!(screen.contains("+0 -2 |"), "{screen}");
    let (_, screen) = cloze(&format!("{runs} --json")).unwrap();
    let figures: Value = serde_json::from_str(&screen).unwrap();
    let bad = &figures[format!("{at}/bad")];
    assert_eq!(
        (bad["figures"][0]["mean"].as_f64(), bad["unanswered"].as_u64()),
        (Some(0.25), Some(1))
    );
    assert!(cloze(&format!("{runs},recall")).is_err());
}

#[test]
fn answers_are_measured_as_both_squads_do() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let question =
        |id: &str, answers: &str| format!(r#"{{"id":"{id}","question":"?","answers":[{answers}]}}"#);
    let set = |last: &str| {
        let answer = r#"{"text":"the red fox","answer_start":0}"#;
        let questions = [question("1", answer), question("2", answer), question("3", last)].join(",");
        format!(r#"{{"data":[{{"title":"T","paragraphs":[{{"context":"c","qas":[{questions}]}}]}}]}}"#)
    };
    put("one.json", &set(r#"{"text":"x","answer_start":0}"#));
    put("two.json", &set(""));
    put("predictions.json", r#"{"1":"Red fox!","2":"fox","3":"wrong"}"#);
    put("no-answer.json", r#"{"1":0.1,"2":0.2,"3":0.9}"#);
    let at = folder.path().display();
    let measured = |arguments: &str| -> Value {
        let (_, screen) = cloze(&format!("squad --predictions {at}/predictions.json {arguments}")).unwrap();
        serde_json::from_str(&screen).unwrap()
    };
    let near = |value: &Value, expected: f64| (value.as_f64().unwrap() - expected).abs() < 1e-9;
    let one = measured(&format!("--data {at}/one.json"));
    assert!(
        near(&one["exact_match"], 100.0 / 3.0) && near(&one["f1"], 500.0 / 9.0),
        "{one}"
    );
    let two = measured(&format!(
        "--data {at}/two.json --no-answer {at}/no-answer.json --threshold 0.5"
    ));
    assert!(
        near(&two["all"]["exact"], 200.0 / 3.0) && near(&two["unanswerable"]["f1"], 100.0),
        "{two}"
    );
    assert!(near(&two["best_exact"]["score"], 200.0 / 3.0), "{two}");
    assert!(
        cloze(&format!(
            "squad --data {at}/two.json --predictions {at}/predictions.json --version 1.1"
        ))
        .is_err()
    );
}

#[test]
fn answers_of_searches_are_measured() {
    let folder = tempfile::tempdir().unwrap();
    let paragraph = |context: &str, questions: &[(&str, &[&str])]| {
        let question = |(at, (question, answers)): (usize, &(&str, &[&str]))| {
            let answers: Vec<Value> = answers
                .iter()
                .map(|text| serde_json::json!({"text": text, "answer_start": context.find(text).unwrap()}))
                .collect();
            serde_json::json!({"id": format!("{context}{at}"), "question": question, "answers": answers})
        };
        let questions: Vec<Value> = questions.iter().enumerate().map(question).collect();
        serde_json::json!({"context": context, "qas": questions})
    };
    let lighthouse = "The lighthouse of Velmora was designed by Maria Oslund and finished in 1873.";
    let bread = "Bread is made of flour, water and salt. Rye keeps longer than wheat.";
    let set = serde_json::json!({"version": "2", "data": [{"title": "The_coast", "paragraphs": [
        paragraph(lighthouse, &[
            ("Who designed the lighthouse of Velmora?", &["Maria Oslund"]),
            ("When was the lighthouse of Velmora finished?", &["1873"]),
            ("How many moons has the planet Neptune?", &[]),
        ]),
        paragraph(bread, &[("What is bread made of?", &["flour, water and salt"])]),
    ]}]});
    let path = folder.path().join("set.json");
    std::fs::write(&path, set.to_string()).unwrap();
    let measured = |arguments: &str| -> Value {
        let (_, screen) = cloze(&format!(
            "answers --data {} --threads 1 {arguments}",
            path.display()
        ))
        .unwrap();
        serde_json::from_str(&screen).unwrap()
    };
    let figures = measured("--passages 1,2");
    assert_eq!(
        (&figures["paragraphs"], &figures["questions"]),
        (&2.into(), &4.into())
    );
    for (at, passages) in [(0, 1), (1, 2)] {
        let one = &figures["by_passages"][at];
        assert_eq!(one["passages"], passages);
        assert_eq!(one["own_paragraph_read"], 100.0, "{one}");
        assert!(one["answerable"]["f1"]["mean"].as_f64().unwrap() > 60.0, "{one}");
        assert_eq!(one["unanswerable"]["exact"]["mean"], 100.0, "{one}");
        assert_eq!(
            (&one["all"]["total"], &one["answerable"]["total"]),
            (&4.into(), &3.into())
        );
    }
    // Nothing is above the greatest threshold: right is what has no answer.
    let none = &measured("--threshold 1000 --questions 4")["by_passages"][0];
    assert_eq!(
        (&none["answered"], &none["all"]["exact"]["mean"]),
        (&0.0.into(), &25.0.into())
    );
    assert!(
        none["answerable_at_any_margin"]["f1"]["mean"].as_f64().unwrap() > 60.0,
        "{none}"
    );
    assert_eq!(measured("--questions 2")["questions"], 2);
    assert!(cloze(&format!("answers --data {} --passages 0", path.display())).is_err());
}

#[test]
fn fewer_bits_are_compared_with_f32_and_kept_beside_the_model() {
    let (data, model) = (collection(), tempfile::tempdir().unwrap());
    let bundled = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/bundled/models/encoder");
    copy(&bundled, model.path());
    std::fs::remove_file(model.path().join("precision.json")).unwrap();
    let (data, folder) = (data.path().display(), model.path().display());
    let (code, screen) = cloze(&format!("precision --model {folder} --data {data} --keep --json")).unwrap();
    assert_eq!(code, Exit::Success);
    let report: Value = serde_json::from_str(&screen).unwrap();
    let collections = report["collections"].as_array().unwrap();
    let names: Vec<&str> = collections
        .iter()
        .map(|one| one["precision"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["f32", "bf16", "int8"]);
    assert_eq!(collections[0]["figures"][0]["mean"], 1.0);
    for (one, least) in collections.iter().zip([0.999_999, 0.999, 0.98]) {
        assert_eq!(one["documents"], 5, "the one without a text is left out");
        assert!(one["cosine_min"].as_f64().unwrap() > least, "{one}");
    }
    let layers = report["layers"].as_array().unwrap();
    assert_eq!(
        layers.len(),
        2 * 4,
        "two precisions, the embeddings and three layers"
    );
    assert!(
        layers
            .iter()
            .all(|layer| layer["relative_error"].as_f64().unwrap() < 0.2)
    );
    let kept = json(&model.path().join("precision.json"));
    assert_eq!(kept["fingerprint"], report["fingerprint"]);
    assert_eq!(kept["measured"][1]["precision"], "int8");

    let (_, screen) = cloze(&format!(
        "precision --model {folder} --data {data} --precision int8"
    ))
    .unwrap();
    assert!(screen.contains("| int8 | 1.0000 | +0.0000 ["), "{screen}");
    let error = cloze(&format!("precision --data {data} --keep"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("accepted: a folder"), "{error}");
}

#[test]
fn fewer_bits_of_a_reranker_are_measured_by_its_own_order() {
    let (data, model) = (collection(), tempfile::tempdir().unwrap());
    let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/bundled/models");
    copy(&models.join("encoder"), model.path());
    copy(&models.join("reranker"), model.path());
    std::fs::remove_file(model.path().join("precision.json")).unwrap();
    let (data, folder) = (data.path().display(), model.path().display());
    let measured = format!("precision --reranker {folder} --data {data} --precision int8 --keep --json");
    let (_, screen) = cloze(&measured).unwrap();
    let report: Value = serde_json::from_str(&screen).unwrap();
    let collections = report["collections"].as_array().unwrap();
    assert_eq!(collections.len(), 2);
    for one in collections {
        assert_eq!(one["figures"][0]["mean"], 1.0);
        assert!(one.get("cosine_min").is_none());
    }
    assert_eq!(report["layers"].as_array().unwrap().len(), 0);
    let kept = json(&model.path().join("precision.json"));
    assert_eq!(kept["fingerprint"], report["fingerprint"]);
    assert_eq!(kept["measured"].as_array().unwrap().len(), 1);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(std::fs::copy(&path, &to).unwrap()),
        }
    }
}

#[test]
fn tuning_tries_every_way_and_keeps_the_default_without_a_reason() {
    let (data, index) = (collection(), tempfile::tempdir().unwrap());
    let tune = format!(
        "tune --data {} --index {}",
        data.path().display(),
        index.path().display()
    );
    let (code, screen) = cloze(&tune).unwrap();
    assert_eq!(code, Exit::Success);
    assert!(
        screen.contains("| `--fusion weighted:0.4,0.6,0.3`, the default | 1.0000 |"),
        "{screen}"
    );
    assert!(screen.contains("| `--mode lexical` | 1.0000 |"), "{screen}");
    assert!(
        screen.ends_with("No better than the default as far as these queries can tell.\n"),
        "{screen}"
    );
    let (_, screen) = cloze(&format!("{tune} --json")).unwrap();
    let outcome: Value = serde_json::from_str(&screen).unwrap();
    let options: Vec<&str> = outcome["tried"]
        .as_array()
        .unwrap()
        .iter()
        .map(|way| way["option"].as_str().unwrap())
        .collect();
    assert_eq!(
        options[..4],
        [
            "--fusion weighted:0.4,0.6,0.3",
            "--mode lexical",
            "--mode dense",
            "--fusion rrf:60"
        ]
    );
    assert!(
        (1..options.len()).all(|at| !options[..at].contains(&options[at])),
        "{options:?}"
    );
    assert_eq!(
        (&outcome["queries"], &outcome["is_better"]),
        (&Value::from(5), &Value::from(false))
    );
    let error = cloze(&format!("{tune} --queries 3")).unwrap_err().to_string();
    assert!(
        error.contains("3 judged queries to tune by; at least 5"),
        "{error}"
    );
}
