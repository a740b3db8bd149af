//! Every open, write, fsync, rename and memory map of an indexing run fails in turn.
//!
//! ```text
//! cargo build --release
//! CLOZE_FAULTS=all cargo test --release --workspace --test nth_call
//! ```
//! fails each of them, with two kinds of errors; without it, some of them.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ERRORS: [(i32, &str); 2] = [(libc::EIO, "EIO"), (libc::ENOSPC, "ENOSPC")];
const CALLS: [&str; 5] = ["open", "write", "fsync", "rename", "mmap"];
const LIBRARY: &str = "libfaults.so";
/// Texts before the run, and after it.
const BEFORE: [&str; 3] = ["granite bridge", "clay tower", "old lighthouse"];
const AFTER: [&str; 4] = ["granite bridge", "clay house", "old lighthouse", "new harbour"];

/// The program, and the library whose calls fail. The library is built with this test and lies beside it; the
/// program lies one folder up, once the tests of the whole workspace or the program were built.
fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let beside = test.parent().unwrap();
    let path = if name == LIBRARY {
        beside.join(name)
    } else {
        beside.parent().unwrap().join(name)
    };
    assert!(
        path.exists(),
        "{} is missing; run the tests of the whole workspace, or `cargo build --release` before",
        path.display()
    );
    path
}

fn cloze(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(built("cloze"));
    command
        .args(arguments)
        .current_dir(folder)
        .env("CLOZE_INDEX", "index")
        .envs(environment.iter().copied());
    command.output().unwrap()
}

fn lines(texts: &[&str]) -> String {
    let line = |(id, text)| format!("{}\n", serde_json::json!({"id": format!("{id}"), "text": text}));
    texts.iter().enumerate().map(line).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// The texts of the index, as a search for all words finds them.
fn texts(folder: &Path) -> Vec<String> {
    let words = "granite bridge clay tower old lighthouse house new harbour";
    let found = cloze(folder, &["search", words, "--mode", "lexical", "--json"], &[]);
    assert!(found.status.success(), "{found:?}");
    let answer: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let hits = answer["hits"].as_array().unwrap().iter();
    let mut texts: Vec<String> = hits.map(|hit| hit["text"].as_str().unwrap().to_owned()).collect();
    texts.sort();
    texts
}

fn sorted(texts: &[&str]) -> Vec<String> {
    let mut texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
    texts.sort();
    texts
}

/// Fails the call of that number; says whether there is one.
fn try_call(original: &Path, call: &str, at: usize, (errno, name): (i32, &str)) -> bool {
    let what = format!("{name} at {call} {at}");
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    copy(original, folder);
    let (library, log) = (built(LIBRARY), folder.join("log"));
    let index = folder.join("index");
    let said = cloze(
        folder,
        &["index", "after.jsonl"],
        &[
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAULT_FOLDER", index.to_str().unwrap()),
            ("FAULT_CALL", call),
            ("FAULT_AT", &at.to_string()),
            ("FAULT_ERRNO", &errno.to_string()),
            ("FAULT_LOG", log.to_str().unwrap()),
        ],
    );
    let Ok(failed) = std::fs::read_to_string(&log) else {
        assert!(said.status.success(), "{what}: {said:?}");
        return false;
    };
    let error = String::from_utf8(said.stderr).unwrap();
    match said.status.code() {
        // Removing what is not needed any more may fail unseen, and be made up for later.
        Some(0) => {}
        Some(1) => {
            let failed = Path::new(&failed);
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            let mut file = name(failed);
            // The name of a temporary file tells nobody anything; it becomes another one's.
            if file.starts_with(".tmp") {
                file = name(failed.parent().unwrap());
            }
            assert!(error.contains(&file), "{what} of {failed:?}: {error}");
            assert!(!error.contains("panicked"), "{what} of {failed:?}: {error}");
        }
        code => panic!("{what} of {failed}: ended with {code:?}: {error}"),
    }
    let found = texts(folder);
    assert!(
        found == sorted(&AFTER) || (said.status.code() == Some(1) && found == sorted(&BEFORE)),
        "{what} of {failed}: {found:?}"
    );
    let verified = cloze(folder, &["verify"], &[]);
    assert!(verified.status.success(), "{what} of {failed}: {verified:?}");
    let again = cloze(folder, &["index", "after.jsonl"], &[]);
    assert!(again.status.success(), "{what} of {failed}: {again:?}");
    assert_eq!(texts(folder), sorted(&AFTER), "{what} of {failed}");
    true
}

#[test]
fn each_call_may_fail() {
    let original = tempfile::tempdir().unwrap();
    let folder = original.path();
    std::fs::write(folder.join("before.jsonl"), lines(&BEFORE)).unwrap();
    std::fs::write(folder.join("after.jsonl"), lines(&AFTER)).unwrap();
    assert!(cloze(folder, &["index", "before.jsonl"], &[]).status.success());
    let all = std::env::var_os("CLOZE_FAULTS").is_some();
    let tried: Vec<(&str, usize)> = std::thread::scope(|scope| {
        let runs = CALLS.map(|call| {
            scope.spawn(move || {
                let (step, mut at, mut tried) = (if all { 1 } else { 7 }, 0, 0);
                loop {
                    let errors = if all { &ERRORS[..] } else { &ERRORS[at % 2..][..1] };
                    let there = errors
                        .iter()
                        .filter(|&&error| try_call(folder, call, at, error))
                        .count();
                    if there == 0 {
                        return (call, tried);
                    }
                    tried += there;
                    at += step;
                }
            })
        });
        runs.into_iter().map(|run| run.join().unwrap()).collect()
    });
    assert!(tried.iter().all(|&(_, count)| count > 0), "{tried:?}");
}
