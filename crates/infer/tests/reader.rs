//! Questions and texts to readings with a small untrained reader.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use std::path::Path;

use encoder::ModelFiles;
use infer::{ModelSettings, Read, Reader, ReaderSettings};

fn open(folder: &Path) -> Reader {
    Reader::open(&ModelFiles::folder(folder).unwrap(), &ModelSettings::new(2)).unwrap()
}

#[test]
fn a_reading_does_not_depend_on_the_others_of_the_call() {
    let folder = support::reader_model(7);
    let reader = open(folder.path());
    let model: &dyn Read = &reader;
    let texts = [3, 1, 60, 0, 7].map(|words| "rome fire nero sang ".repeat(words));
    let asked: Vec<(&str, &str)> = texts.iter().map(|text| ("nero sang", text.as_str())).collect();
    let together = model.read(&asked).unwrap();
    for (one, reading) in asked.iter().zip(&together) {
        assert_eq!(model.read(&[*one]).unwrap(), std::slice::from_ref(reading));
        assert!(one.1.get(reading.span.clone()).is_some(), "{reading:?}");
        assert_eq!(reading.span.is_empty(), one.1.is_empty());
    }
    assert!(model.read(&[]).unwrap().is_empty());
}

#[test]
fn a_reader_says_its_threshold_and_which_model_it_is() {
    let (folder, other) = (support::reader_model(7), support::reader_model(8));
    let settings = ReaderSettings {
        window_tokens: 40,
        overlap_tokens: 8,
        question_tokens: 12,
        threshold: 1.5,
        ..ReaderSettings::default()
    };
    settings.save(folder.path()).unwrap();
    let model: &dyn Read = &open(folder.path());
    assert_eq!(model.threshold(), 1.5);
    assert_eq!(model.fingerprint().len(), 64);
    assert_ne!(model.fingerprint(), Read::fingerprint(&open(other.path())));
}
