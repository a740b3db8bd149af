//! Runs with a model of a few lines: parts, refused texts, changed inputs, damaged folders.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use corpus::{DocumentId, Metadata, TitleUse};
use data::{Place, Reason, VectorFormat, VectorSchema, read_vectors};
use launch::OnError;

use super::super::join::join;
use super::super::parts::parts_folder;
use super::super::state::MadeBy;
use super::*;
use crate::Rejects;
use crate::letters::Letters;

type Record = Result<Located<Document>, DataError>;

/// Texts as records; `!` stands for one that cannot be read.
fn records(texts: &[&str]) -> Vec<Record> {
    let file: Arc<Path> = Arc::from(Path::new("in"));
    let record = |(number, text): (usize, &&str)| {
        let place = Place::line(&file, number as u64 + 1);
        match *text {
            "!" => Err(DataError::new(place, Reason::NoText)),
            text => Ok(Located {
                value: Document {
                    id: DocumentId::new(number.to_string()).unwrap(),
                    title: String::new(),
                    text: text.to_owned(),
                    metadata: Metadata::new(),
                },
                place,
            }),
        }
    };
    texts.iter().enumerate().map(record).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn output(&self) -> PathBuf {
        self.0.path().join("out.arrow")
    }

    fn rejects(&self) -> PathBuf {
        self.0.path().join("rejects.jsonl")
    }

    fn parts(&self, role: &str) -> Result<Parts, OutputError> {
        let made_by = MadeBy {
            fingerprint: "letters".to_owned(),
            precision: "f32".to_owned(),
            role: role.to_owned(),
        };
        Parts::open(&self.output(), made_by, 26, false)
    }

    /// One run over the texts; the run, and how it ended.
    fn run(&self, texts: &[&str], on_error: OnError) -> (Target, Tally, u64, Result<(), Cause>) {
        let rejects = Some(Rejects::create(&self.rejects()).unwrap());
        let records = records(texts).into_iter();
        let mut run = Run {
            intake: Intake::new(records, TitleUse::Join, on_error, rejects),
            embed: &Letters,
            role: Role::Passage,
            target: Target::Parts(Box::new(self.parts("passage").unwrap())),
            progress: Progress::hidden(),
            meter: Meter::default(),
            interrupt: Interrupt::never(),
            tally: Tally::default(),
            vectors_kept: 0,
            refused: 0,
        };
        let ended = run.all();
        (run.target, run.tally, run.vectors_kept, ended)
    }

    /// The ids of the output.
    fn join(&self, target: Target) -> Result<Vec<String>, OutputError> {
        let Target::Parts(parts) = target else {
            panic!("a stream")
        };
        let schema = VectorSchema {
            dimension: 26,
            about: Vec::new(),
        };
        let interrupt = Interrupt::never();
        assert!(join(
            *parts,
            &self.output(),
            VectorFormat::Arrow,
            &schema,
            &interrupt
        )?);
        let batches = read_vectors(&self.output()).unwrap();
        Ok(batches.flat_map(|rows| rows.unwrap().ids).collect())
    }
}

fn error(ended: Result<(), Cause>) -> String {
    ended.unwrap_err().to_string()
}

#[test]
fn a_bad_record_ends_a_run_and_the_next_one_goes_on_once_it_is_mended() {
    let place = Folder::new();
    let (target, tally, _, ended) = place.run(&["a", "b", "!", "d"], OnError::Stop);
    assert!(error(ended).starts_with("in:3: the document has no text"));
    assert_eq!((tally.vectors, tally.records_read), (2, 2));
    drop(target);
    let (target, tally, kept, ended) = place.run(&["a", "b", "c", "d"], OnError::Stop);
    ended.unwrap();
    assert_eq!((tally.vectors, tally.records_read, kept), (4, 4, 2));
    assert_eq!(place.join(target).unwrap(), ["0", "1", "2", "3"]);
    assert!(!parts_folder(&place.output()).exists());
}

#[test]
fn what_is_skipped_is_written_down_again_by_the_run_that_goes_on() {
    let place = Folder::new();
    let texts = ["a", "!", "poison", "d"];
    let (target, first, ..) = place.run(&texts, OnError::Skip);
    assert_eq!(
        (first.vectors, first.records_skipped, first.records_read),
        (2, 2, 4)
    );
    let rejects = std::fs::read(place.rejects()).unwrap();
    assert_eq!(rejects.iter().filter(|&&byte| byte == b'\n').count(), 2);
    drop(target);
    let (target, second, kept, ended) = place.run(&texts, OnError::Skip);
    ended.unwrap();
    assert_eq!((second, kept), (first, 2));
    assert_eq!(std::fs::read(place.rejects()).unwrap(), rejects);
    assert_eq!(place.join(target).unwrap(), ["0", "3"]);
    // Whoever does not want to skip is told so, whatever an earlier run did.
    let (target, ..) = place.run(&["poison", "b"], OnError::Skip);
    drop(target);
    let (_, _, _, ended) = place.run(&["poison", "b"], OnError::Stop);
    assert!(error(ended).starts_with("in:1: model letters gave poison"));
}

#[test]
fn parts_end_at_their_size_and_hold_everything() {
    let place = Folder::new();
    let texts = vec!["some text"; 5000];
    let (target, tally, _, ended) = place.run(&texts, OnError::Stop);
    ended.unwrap();
    assert_eq!(tally.vectors, 5000);
    let rows: Vec<u64> = target.finished().iter().map(|part| part.rows).collect();
    assert_eq!(rows, [2048, 2048, 904]);
    let ids = place.join(target).unwrap();
    assert!(ids.iter().enumerate().all(|(row, id)| *id == row.to_string()) && ids.len() == 5000);
}

#[test]
fn another_input_or_another_setting_is_refused() {
    let place = Folder::new();
    place.run(&["a", "b"], OnError::Stop).3.unwrap();
    for texts in [&["a", "x"][..], &["a"], &["!", "b"]] {
        let (.., ended) = place.run(texts, OnError::Skip);
        let said = error(ended);
        assert!(
            said.contains("out.arrow.parts: records 1 to 2 of the input are not what"),
            "{said}"
        );
    }
    let refused = place.parts("query").err().unwrap().to_string();
    assert!(
        refused.contains("had --role passage, this one has --role query; repeat"),
        "{refused}"
    );
    let (target, ..) = place.run(&["a", "b", "c"], OnError::Stop);
    let locked = place.parts("passage").err().unwrap().to_string();
    assert!(
        locked.ends_with("another process is writing to this output"),
        "{locked}"
    );
    assert_eq!(place.join(target).unwrap().len(), 3);
}

#[test]
fn a_damaged_part_never_gets_into_the_output() {
    let place = Folder::new();
    let folder = parts_folder(&place.output());
    let (target, ..) = place.run(&["aaa", "b"], OnError::Stop);
    let part = folder.join("000001.arrow");
    let mut bytes = std::fs::read(&part).unwrap();
    let first = Letters.embed(&["aaa"], Role::Passage).unwrap()[0][0].to_le_bytes();
    let one = bytes.windows(4).position(|four| four == first).unwrap();
    bytes[one] ^= 1;
    std::fs::write(&part, bytes).unwrap();
    let said = place.join(target).unwrap_err().to_string();
    assert!(
        said.contains("000001.arrow: damaged: its ids and vectors are not"),
        "{said}"
    );
    assert!(!place.output().exists());
    std::fs::write(folder.join("state.json"), b"{\"version\":7").unwrap();
    let said = place.parts("passage").err().unwrap().to_string();
    assert!(
        said.contains("state.json: damaged: EOF") && said.ends_with("--restart"),
        "{said}"
    );
}

#[test]
fn a_folder_of_something_else_is_left_alone() {
    let place = Folder::new();
    let folder = parts_folder(&place.output());
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("novel.txt"), b"").unwrap();
    let said = place.parts("passage").err().unwrap().to_string();
    assert!(
        said.contains("novel.txt: this is not of an interrupted run"),
        "{said}"
    );
    assert!(folder.join("novel.txt").exists() && !folder.join("lock").exists());
}

#[test]
fn the_longest_text_that_counts_is_found_by_asking_the_model() {
    assert_eq!(room(&Letters).unwrap(), Letters.tokens_max());
}
