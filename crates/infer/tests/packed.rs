//! Packed weights beside a model: the same answers, and none from a file that is damaged or of another model.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use std::path::Path;

use infer::{Embed, Embedder, ModelSettings, Precision, Role, pack};

const TEXTS: [&str; 3] = ["the great fire", "", "nero sang 42 days"];

fn open(folder: &Path, precision: Precision) -> (Vec<Vec<f32>>, String, Vec<String>) {
    let files = encoder::ModelFiles::folder(folder).unwrap();
    let model = Embedder::open(
        &files,
        &ModelSettings {
            threads: 1,
            precision: Some(precision),
        },
    )
    .unwrap();
    let vectors = model.embed(&TEXTS, Role::Passage).unwrap();
    (vectors, model.fingerprint().to_owned(), model.notes().to_vec())
}

#[test]
fn a_packed_model_gives_the_same_bits() {
    for precision in [Precision::F32, Precision::Bf16, Precision::Int8] {
        let folder = support::model();
        let before = open(folder.path(), precision);
        assert!(before.2.is_empty());
        let packing = pack(
            &encoder::ModelFiles::folder(folder.path()).unwrap(),
            Some(precision),
        )
        .unwrap();
        assert_eq!(packing.bytes, std::fs::metadata(&packing.path).unwrap().len());
        assert_eq!(open(folder.path(), precision), before);

        // Nothing else was left, and the file is what answers: a model that is gone is not asked.
        let names = std::fs::read_dir(folder.path()).unwrap();
        let partial = names.filter(|name| {
            name.as_ref()
                .unwrap()
                .path()
                .display()
                .to_string()
                .contains("partial")
        });
        assert_eq!(partial.count(), 0);
    }
}

#[test]
fn a_model_that_changed_is_not_answered_for_by_old_weights() {
    let folder = support::model();
    let files = encoder::ModelFiles::folder(folder.path()).unwrap();
    pack(&files, Some(Precision::Int8)).unwrap();
    let weights = folder.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();

    // Written again, but the same.
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&weights, &bytes).unwrap();
    assert!(open(folder.path(), Precision::Int8).2.is_empty());

    let mut changed = bytes;
    let last = changed.len() - 2;
    changed[last] ^= 0x40;
    std::thread::sleep(std::time::Duration::from_millis(20));
    std::fs::write(&weights, &changed).unwrap();
    let (vectors, _, notes) = open(folder.path(), Precision::Int8);
    assert!(notes[0].contains("changed after it was packed"), "{notes:?}");
    std::fs::remove_file(folder.path().join("packed-int8.safetensors")).unwrap();
    assert_eq!(open(folder.path(), Precision::Int8).0, vectors);
}

#[test]
fn damage_anywhere_is_noticed_and_costs_only_time() {
    let folder = support::model();
    let files = encoder::ModelFiles::folder(folder.path()).unwrap();
    let expected = open(folder.path(), Precision::Int8).0;
    let path = pack(&files, Some(Precision::Int8)).unwrap().path;
    let bytes = std::fs::read(&path).unwrap();
    let check = |damaged: &[u8], what: &str| {
        std::fs::write(&path, damaged).unwrap();
        let (vectors, _, notes) = open(folder.path(), Precision::Int8);
        assert_eq!(vectors, expected, "{what}");
        assert_eq!(notes.len(), 1, "{what}: {notes:?}");
        assert!(notes[0].contains("packed-int8.safetensors"), "{notes:?}");
    };
    for at in (0..bytes.len()).step_by(bytes.len() / 300) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        check(&damaged, &format!("byte {at}"));
    }
    for length in (0..bytes.len()).step_by(bytes.len() / 40) {
        check(&bytes[..length], &format!("{length} bytes"));
    }
    check(&[bytes.as_slice(), &[0]].concat(), "a byte more");

    // A file of another precision under this name.
    let other = pack(&files, Some(Precision::Bf16)).unwrap().path;
    check(&std::fs::read(other).unwrap(), "another precision");
}

#[test]
fn a_model_inside_of_the_program_is_not_packed() {
    let files = encoder::ModelFiles::embedded("inside", &[("config.json", b"{}")]);
    let error = pack(&files, Some(Precision::Int8)).unwrap_err().to_string();
    assert!(error.contains("accepted: a folder"), "{error}");
}
