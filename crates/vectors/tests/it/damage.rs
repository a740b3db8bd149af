//! Files with a wrong byte or a missing end give an error that names them, and never a panic.

use std::fs;
use std::path::Path;

use tempfile::tempdir;
use vectors::{Codes, Effort, Exact, Graph, GraphSettings, Nearest, VectorError, Vectors, Walk};

use crate::data::{Random, coded, stored};

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
    try_all(&path, |path| Vectors::open(path)?.verify());
    // A search that comes by the damage is refused as well.
    try_all(&path, |path| {
        let vectors = Vectors::open(path)?;
        Exact::new(&vectors).nearest(&rows[0], 2, None).map(drop)
    });
}

#[test]
fn codes() {
    let folder = tempdir().unwrap();
    let mut random = Random(1);
    let rows: Vec<Vec<f32>> = (0..5).map(|_| random.vector(7)).collect();
    let vectors = stored(&folder.path().join("vectors"), &rows, 7);
    drop(coded(&vectors, folder.path()));
    try_all(&folder.path().join("codes"), |path| Codes::open(path)?.verify());
}

/// A block that is damaged hinders those searches only that come by it.
#[test]
fn damage_far_from_a_search() {
    let folder = tempdir().unwrap();
    let mut random = Random(1);
    let rows: Vec<Vec<f32>> = (0..2_000).map(|_| random.vector(100)).collect();
    let path = folder.path().join("vectors");
    drop(stored(&path, &rows, 100));
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let vectors = Vectors::open(&path).unwrap();
    let exact = Exact::new(&vectors);
    let near = |rows: std::ops::Range<u32>| {
        exact.nearest(vectors.row(0), 3, Some(&rows.collect::<roaring::RoaringBitmap>()))
    };
    assert_eq!(near(0..10).unwrap()[0].row, 0);
    let error = near(1_000..1_001).unwrap_err();
    assert!(
        matches!(error, VectorError::Checksum { offset, .. } if offset <= at as u64),
        "{error}"
    );
    assert!(vectors.verify().is_err());
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
        (end - 32, 0),
        (end - 32, 3),
        (end - 32, u32::MAX),
    ] {
        let mut bytes = whole.clone();
        bytes[offset..offset + 4].copy_from_slice(&value.to_le_bytes());
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(Vectors::open(&path).is_err(), "{value} at {offset}");
    }
    for length in 36..end - 1 {
        let mut bytes = whole[..length].to_vec();
        reseal(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        assert!(Vectors::open(&path).is_err(), "cut to {length}");
    }
}

fn small_graph(folder: &Path) -> (Vectors, Codes, std::path::PathBuf) {
    let mut random = Random(2);
    let rows: Vec<Vec<f32>> = (0..41).map(|_| random.vector(3)).collect();
    let vectors = stored(&folder.join("vectors"), &rows, 3);
    let path = folder.join("graph");
    let codes = coded(&vectors, folder);
    let graph = Graph::build(
        &vectors,
        &codes,
        &GraphSettings {
            m: 2,
            ..GraphSettings::default()
        },
    )
    .unwrap();
    assert!(graph.levels() > 1);
    graph.write(&path).unwrap();
    (vectors, codes, path)
}

#[test]
fn graph() {
    let folder = tempdir().unwrap();
    let (_, _, path) = small_graph(folder.path());
    try_all(&path, |path| Graph::open(path)?.verify());
}

/// Any number of the file replaced, under a checksum that is right: refused, or of no harm to a search.
#[test]
fn forged_graph() {
    let folder = tempdir().unwrap();
    let (vectors, codes, path) = small_graph(folder.path());
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut opened) = (0, 0);
    for at in (0..whole.len() - 24).step_by(4) {
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
            // Wrong links of level 0 are met by who looks for them, and do no harm to a search.
            let _ = graph.verify();
            if let Ok(walk) = Walk::new(&vectors, &codes, &graph, Effort::Ef(3)) {
                assert_eq!(walk.nearest(vectors.row(0), 3, None).unwrap().len(), 3);
            }
        }
    }
    assert!(
        refused > 500 && opened > 500,
        "{refused} refused, {opened} opened"
    );
}

/// Puts the right checksums at the end of a file of one block.
fn reseal(bytes: &mut [u8]) {
    use xxhash_rust::xxh3::xxh3_64;
    let content = bytes.len() - 24;
    let block = xxh3_64(&bytes[..content]);
    bytes[content..content + 8].copy_from_slice(&block.to_le_bytes());
    bytes[content + 8..content + 16].copy_from_slice(&(content as u64).to_le_bytes());
    let seal = xxh3_64(&bytes[content..content + 16]);
    bytes[content + 16..].copy_from_slice(&seal.to_le_bytes());
}
