#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
use super::*;

const SQUAD: &str = r#"{"data": [
    {"title": "Kept_One", "paragraphs": [{"context": "Granite is hard.", "qas": [
        {"question": "What is hard? ", "answers": [{"text": "Granite", "answer_start": 0}, {"text": "Granite"}]}]}]},
    {"title": "Left_Out", "paragraphs": [{"context": "Clay is soft.", "qas": [{"question": "What is soft?"}]}]}
]}"#;
const EXCLUDED: &str = r#"{"data": [{"title": "Left_Out", "paragraphs": []}]}"#;

fn pair(query: &str, source: &str, number: usize) -> String {
    let positive = format!("Passage number {number} tells about bridges of stone and towers of clay.");
    serde_json::json!({"query": query, "positive": positive, "source": source}).to_string() + "\n"
}

fn document(title: &str) -> String {
    let text = format!("The old town of {title} has a bridge over the river and a tower of clay. ").repeat(4);
    let sections = serde_json::json!([{"heading": "History", "paragraphs": [text]}]);
    serde_json::json!({"id": title, "source": "wiki", "title": title, "sections": sections}).to_string()
        + "\n"
}

fn settings(folder: &Path) -> Settings {
    let put = |name: &str, text: String| {
        std::fs::write(folder.join(name), text).unwrap();
        vec![folder.join(name)]
    };
    let pairs: String = (0..20).map(|n| pair(&format!("query {n}"), "faq", n)).collect();
    Settings {
        documents: put("documents.jsonl", document("Granite") + &document("Left Out")),
        documents_share: 1.0,
        pairs: put(
            "pairs.jsonl",
            pairs + &pair("once more", "other", 3) + &pair("?", "faq", 90),
        ),
        squad: put("train.json", SQUAD.into()),
        exclude_titles_of: put("dev.json", EXCLUDED.into()),
        per_source_max: 100,
        seed: 1,
    }
}

fn lines(path: &Path) -> Vec<Line> {
    texts::records(path).unwrap().collect::<Result<_>>().unwrap()
}

#[test]
fn every_source_gives_pairs_and_what_is_excluded_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let counts = gather(&settings(folder.path()), &out).unwrap();
    let lines = lines(&out);
    assert_eq!(
        (counts.joined, counts.excluded, counts.queries),
        (1, 2, lines.len())
    );
    // Twenty pairs, a paragraph, a passage.
    assert_eq!(counts.positives, 22);
    let of = |source: &str| lines.iter().filter(|line| line.source == source).count();
    assert_eq!((of("faq"), of("squad")), (21, 1));
    assert!(of("wiki") > 0);
    assert!(
        lines
            .iter()
            .all(|line| !line.positive.contains("soft") && !line.positive.contains("Left Out"))
    );
    let asked = lines.iter().find(|line| line.source == "squad").unwrap();
    assert_eq!(
        (asked.query.as_str(), asked.answers.as_slice()),
        ("What is hard?", &["Granite".to_owned()][..])
    );
    // Queries of a positive stand together.
    let again = lines.iter().position(|line| line.query == "once more").unwrap();
    let others = [again.wrapping_sub(1), again + 1];
    assert!(
        others
            .iter()
            .any(|&at| lines.get(at).is_some_and(|line| line.query == "query 3"))
    );
}

#[test]
fn the_seed_decides() {
    let folder = tempfile::tempdir().unwrap();
    let made = |seed: u64| {
        let out = folder.path().join("out.jsonl");
        gather(
            &Settings {
                seed,
                ..settings(folder.path())
            },
            &out,
        )
        .unwrap();
        std::fs::read(out).unwrap()
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
}

#[test]
fn a_sample_of_a_source_does_not_depend_on_the_order_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = settings(folder.path());
    settings.per_source_max = 5;
    let more = folder.path().join("more.jsonl");
    std::fs::write(
        &more,
        (20..60)
            .map(|n| pair("another query", "faq", n))
            .collect::<String>(),
    )
    .unwrap();
    settings.pairs.push(more);
    let out = folder.path().join("out.jsonl");
    let mut made = || {
        settings.pairs.reverse();
        gather(&settings, &out).unwrap();
        let lines = lines(&out).into_iter().filter(|line| line.source == "faq");
        lines.map(|line| line.positive).collect::<BTreeSet<_>>()
    };
    let first = made();
    assert_eq!((first.len(), made()), (5, first));
}

#[test]
fn damage_is_named_by_file_and_line_and_settings_by_their_range() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out.jsonl");
    let sound = settings(folder.path());
    let refused = |settings: &Settings| gather(settings, &out).unwrap_err().to_string();
    for share in [0.0, 1.5, f64::NAN] {
        let error = refused(&Settings {
            documents_share: share,
            ..sound.clone()
        });
        assert!(
            error.contains("documents_share is") && error.contains("above 0"),
            "{error}"
        );
    }
    assert!(
        refused(&Settings {
            per_source_max: 0,
            ..sound.clone()
        })
        .contains("1 or more")
    );
    std::fs::write(&sound.squad[0], "{\"data\": [\n{\"title\": 3}]}").unwrap();
    let error = refused(&sound);
    assert!(error.contains("train.json, line 2: "), "{error}");
    let only = Settings {
        squad: Vec::new(),
        ..sound
    };
    std::fs::write(&only.pairs[0], pair("a query", "faq", 1) + "{\"query\": 3}\n").unwrap();
    let error = refused(&only);
    assert!(error.contains("pairs.jsonl, line 2: "), "{error}");
}
