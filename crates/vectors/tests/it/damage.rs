//! Files with a wrong byte or a missing end give an error that names them, and never a panic.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vectors::{Graph, GraphSettings, Nearest, VectorError, Vectors, Walk};

use crate::data::{Random, stored};

/// Hands `open` every file that differs from `path`'s in one byte, is shorter, or is a little longer.
fn try_all(path: &Path, open: impl Fn(&Path) -> Result<(), VectorError>) {
    let whole = fs::read(path).unwrap();
    let damaged = path.with_extension("damaged");
    let refused = |bytes: &[u8], what: String| {
        fs::write(&damaged, bytes).unwrap();
        let error = open(&damaged).expect_err(&what);
        assert!(
            error.to_string().starts_with(&damaged.display().to_string()),
            "{what}: {error}"
        );
        assert!(error.to_string().contains(": byte "), "{what}: {error}");
    };
    for at in 0..whole.len() {
        for flip in [1, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= flip;
            refused(&bytes, format!("byte {at} with {flip:02x} flipped"));
        }
    }
    for length in 0..whole.len() {
        refused(&whole[..length], format!("cut to {length} bytes"));
    }
    for more in [1, 8, 64] {
        refused(
            &[&whole[..], &vec![0; more]].concat(),
            format!("{more} bytes too many"),
        );
    }
}

#[test]
fn vectors() {
    let folder = tempdir().unwrap();
    let mut random = Random(1);
    let rows: Vec<Vec<f32>> = (0..5).map(|_| random.vector(7)).collect();
    let path = folder.path().join("vectors");
    drop(stored(&path, &rows, 7));
    try_all(&path, |path| Vectors::open(path).map(drop));
}

/// Sizes that do not fit one another under a checksum that is right: no accident, but no panic either.
#[test]
fn forged_vectors() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("vectors");
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0]];
    drop(stored(&path, &rows, 2));
    let whole = fs::read(&path).unwrap();
    let end = whole.len();
    for (offset, value) in [
        (12, 0_u32),
        (12, 3),
        (12, u32::MAX),
        (end - 16, 0),
        (end - 16, 3),
        (end - 16, u32::MAX),
    ] {
        let mut bytes = whole.clone();
        bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(Vectors::open(&path).is_err(), "{value} at {offset}");
    }
    for length in 20..end - 1 {
        let mut bytes = whole[..length].to_vec();
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(Vectors::open(&path).is_err(), "cut to {length}");
    }
}

fn small_graph(folder: &Path) -> (Vectors, std::path::PathBuf) {
    let mut random = Random(2);
    let rows: Vec<Vec<f32>> = (0..41).map(|_| random.vector(3)).collect();
    let vectors = stored(&folder.join("vectors"), &rows, 3);
    let path = folder.join("graph");
    let graph = Graph::build(
        &vectors,
        &GraphSettings {
            m: 2,
            ..GraphSettings::default()
        },
    )
    .unwrap();
    assert!(graph.levels() > 1);
    graph.write(&path).unwrap();
    (vectors, path)
}

#[test]
fn graph() {
    let folder = tempdir().unwrap();
    let (_, path) = small_graph(folder.path());
    try_all(&path, |path| Graph::open(path).map(drop));
}

/// Any number of the file replaced, under a checksum that is right: refused, or of no harm to a search.
#[test]
fn forged_graph() {
    let folder = tempdir().unwrap();
    let (vectors, path) = small_graph(folder.path());
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut opened) = (0, 0);
    for at in (0..whole.len() - 8).step_by(4) {
        for value in [0_u32, 1, 2, 40, 41, 1 << 20, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
            reseal(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let Ok(graph) = Graph::open(&path) else {
                refused += 1;
                continue;
            };
            opened += 1;
            if let Ok(walk) = Walk::new(&vectors, &graph, 3) {
                assert_eq!(walk.nearest(vectors.row(0), 3, None).unwrap().len(), 3);
            }
        }
    }
    assert!(
        refused > 500 && opened > 500,
        "{refused} refused, {opened} opened"
    );
}

/// Puts the right checksum at the end.
fn reseal(bytes: &mut [u8]) {
    let end = bytes.len() - 8;
    let checksum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&checksum.to_le_bytes());
}
