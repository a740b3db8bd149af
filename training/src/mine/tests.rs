#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
use super::*;
use std::collections::BTreeMap;
use std::path::Path;

/// 60 bridges that differ in their number; every tenth line asks as the line before it does.
fn pairs(folder: &Path) -> PathBuf {
    let path = folder.join("pairs.jsonl");
    let line = |n: usize| {
        let asked = if n % 10 == 9 { n - 1 } else { n };
        let query = format!("of what stone is bridge {asked}");
        let positive = format!(
            "The bridge {n} of the old town stands on granite of kind {}.",
            n % 7
        );
        let answers = [format!("kind {}", n % 7)];
        serde_json::json!({"query": query, "positive": positive, "answers": answers, "source": "s"})
            .to_string()
            + "\n"
    };
    std::fs::write(&path, (0..60).map(line).collect::<String>()).unwrap();
    path
}

fn args(folder: &Path, by: By) -> MineArgs {
    MineArgs {
        pairs: pairs(folder),
        passages: Vec::new(),
        out: folder.join("mined.jsonl"),
        by,
        model: bundled::NAME.to_owned(),
        negatives: 4,
        depth: 20,
        skip: 1,
        margin: 0.999,
    }
}

fn read(path: &Path) -> Vec<Line> {
    jsonl::records(path)
        .unwrap()
        .map(|line| line.unwrap().value)
        .collect()
}

#[test]
fn negatives_of_every_line_are_other_lines_positives_without_an_answer() {
    let folder = tempfile::tempdir().unwrap();
    for by in [By::Lexical, By::Dense, By::Hybrid] {
        let args = args(folder.path(), by);
        let counts = mine(&args, false, &Interrupt::never()).unwrap().unwrap();
        assert_eq!(counts.lines, 60);
        let lines = read(&args.out);
        let mut positives: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for line in &lines {
            positives.entry(&line.query).or_default().push(&line.positive);
        }
        let all: HashSet<&str> = lines.iter().map(|line| line.positive.as_str()).collect();
        let short = lines.iter().filter(|line| line.negatives.len() < 4).count() as u64;
        assert_eq!(counts.short, short);
        assert!(by != By::Lexical || short == 0, "{short}");
        assert!(lines.iter().any(|line| !line.negatives.is_empty()));
        for line in &lines {
            for negative in &line.negatives {
                assert!(all.contains(negative.as_str()) && !negative.contains(&line.answers[0]));
                assert!(!positives[line.query.as_str()].contains(&negative.as_str()));
            }
            assert_eq!(line.others["source"], "s");
        }
    }
}

#[test]
fn a_run_goes_on_where_it_was_and_other_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let args = args(folder.path(), By::Lexical);
    mine(&args, false, &Interrupt::never()).unwrap();
    let whole = std::fs::read_to_string(&args.out).unwrap();

    // As it is left behind after 20 lines and a half, before the first commit of the index.
    let interrupt = Interrupt::never();
    interrupt.raise();
    assert_eq!(mine(&args, false, &interrupt).unwrap(), None);
    let work = folder.path().join("mined.jsonl.mining");
    let ends: Vec<usize> = whole.match_indices('\n').map(|(at, _)| at + 1).collect();
    let mut done = whole[..ends[19]].replace("\"source\":\"s\"", "\"source\":\"kept\"");
    done += &whole[ends[19]..ends[19] + 10];
    std::fs::write(work.join("lines.jsonl"), done).unwrap();

    let other = MineArgs {
        skip: 2,
        ..args.clone()
    };
    let message = mine(&other, false, &Interrupt::never()).unwrap_err().to_string();
    assert!(message.contains("other options"), "{message}");
    mine(&args, false, &Interrupt::never()).unwrap();
    let resumed = std::fs::read_to_string(&args.out).unwrap();
    assert_eq!(resumed.matches("\"kept\"").count(), 20);
    assert_eq!(resumed.replace("\"kept\"", "\"s\""), whole);
    assert!(!work.exists());
}

#[test]
fn options_out_of_range_and_empty_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let good = args(folder.path(), By::Lexical);
    let message = |args: &MineArgs| mine(args, false, &Interrupt::never()).unwrap_err().to_string();
    let more = MineArgs {
        negatives: 21,
        ..good.clone()
    };
    assert_eq!(
        message(&more),
        "--negatives is 21; accepted are 1 to 20, which is --depth"
    );
    let far = MineArgs {
        margin: 1.5,
        ..good.clone()
    };
    assert_eq!(
        message(&far),
        "--margin is 1.5; accepted is above 0 and at most 1"
    );
    std::fs::write(&good.pairs, "").unwrap();
    assert!(message(&good).ends_with("pairs.jsonl: there is no pair"));
    std::fs::write(&good.pairs, "{\"query\": 1}\n").unwrap();
    assert!(message(&good).contains("pairs.jsonl:1:"), "{}", message(&good));
}
