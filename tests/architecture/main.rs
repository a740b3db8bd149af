//! The rules of absence that `ARCHITECTURE.md` states, read from the manifests and the sources.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The layers from the ground up. A crate may depend on crates of lower layers only.
const LAYERS: [&[&str]; 5] = [
    &["corpus", "text", "kernels", "encoder", "measure", "launch"],
    &["data", "vectors", "lexical", "infer", "bundled"],
    &["trainer", "index", "search"],
    &["training", "indexer", "server", "evals"],
    &["cloze"],
];

/// Outside libraries that one crate alone may name; everything else asks that crate.
const OWNED: [(&str, &[&str]); 10] = [
    ("tokenizers", &["text"]),
    // The trainer works on the encoder's tensors.
    ("candle-core", &["encoder", "trainer"]),
    ("candle-nn", &["encoder", "trainer"]),
    ("tantivy", &["lexical"]),
    ("hnsw_rs", &["vectors"]),
    ("arrow", &["data"]),
    ("parquet", &["data"]),
    ("axum", &["server"]),
    ("tokio", &["server"]),
    ("indicatif", &["launch"]),
];

/// Crates that must not name another even though it lies below them.
const NEVER: [(&str, &str); 3] = [("search", "index"), ("search", "remote"), ("index", "infer")];

/// Crates that may hold unsafe code: arithmetic, and memory maps.
const UNSAFE: [&str; 4] = ["kernels", "infer", "vectors", "index"];

/// The folder that launches kernels on a GPU, which take addresses.
const LAUNCHES: &str = "crates/encoder/src/cuda/launch";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Folder of each crate by its name, `tests` left out.
fn crates() -> BTreeMap<String, PathBuf> {
    let flat = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let parts = ["indexer", "server", "training", "evals"].map(|part| root().join(part));
    let named = |path: PathBuf| (path.file_name().unwrap().to_str().unwrap().to_owned(), path);
    flat.chain(parts).map(named).collect()
}

/// The dependencies of a crate that are part of the product.
fn dependencies(folder: &Path) -> BTreeSet<String> {
    let manifest: toml::Table = std::fs::read_to_string(folder.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let named = manifest["package"]["name"].as_str().unwrap();
    assert_eq!(
        folder.file_name().unwrap(),
        named,
        "a crate is named as its folder"
    );
    let table = manifest
        .get("dependencies")
        .and_then(|table| table.as_table().cloned());
    table.unwrap_or_default().keys().cloned().collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    files
}

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|crates| crates.contains(&name))
}

#[test]
fn every_crate_is_on_the_map_and_every_arrow_points_downwards() {
    for (name, folder) in crates() {
        let own = layer(&name).unwrap_or_else(|| panic!("{name} is not on the map"));
        for below in dependencies(&folder).iter().filter_map(|d| Some((d, layer(d)?))) {
            assert!(
                below.1 < own,
                "{name} (layer {own}) depends on {} (layer {})",
                below.0,
                below.1
            );
        }
    }
}

#[test]
fn an_outside_library_is_named_by_its_owner_only() {
    for (name, folder) in crates() {
        let named = dependencies(&folder);
        for (library, owners) in OWNED {
            assert!(
                !named.contains(library) || owners.contains(&name.as_str()),
                "{name} names {library}"
            );
        }
        for (who, what) in NEVER {
            assert!(who != name || !named.contains(what), "{who} names {what}");
        }
        let program = layer(&name) >= Some(3);
        assert!(
            program || !named.contains("anyhow"),
            "{name} is a library: its errors are typed"
        );
    }
}

#[test]
fn unsafe_code_and_async_stay_in_their_rooms() {
    for (name, folder) in crates() {
        for file in sources(&folder) {
            let text = std::fs::read_to_string(&file).unwrap();
            let unsafe_here = text.contains("unsafe {") || text.contains("unsafe fn");
            assert!(
                !unsafe_here
                    || UNSAFE.contains(&name.as_str())
                    || file.parent().is_some_and(|folder| folder.ends_with(LAUNCHES)),
                "{} has unsafe code",
                file.display()
            );
            let async_here = text.contains("async fn") || text.contains("async move");
            assert!(
                !async_here || name == "server",
                "{} has async code",
                file.display()
            );
        }
    }
}

#[test]
fn tensors_do_not_leave_the_encoder_and_the_trainer() {
    for name in ["infer", "search", "index"] {
        for file in sources(&root().join("crates").join(name)) {
            let text = std::fs::read_to_string(&file).unwrap();
            for line in text
                .lines()
                .filter(|line| line.trim_start().starts_with("pub fn"))
            {
                assert!(!line.contains("Tensor"), "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let theirs = manifest
        .split("# Theirs")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    for line in theirs.lines().filter(|line| line.contains(" = ")) {
        assert!(
            line.rsplit_once('#')
                .is_some_and(|(_, reason)| reason.trim().len() > 8),
            "no reason: {line}"
        );
    }
}
