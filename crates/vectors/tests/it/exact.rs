//! The exact search against a sort of all scores, and the file against what was put into it.

use proptest::prelude::*;
use roaring::RoaringBitmap;
use tempfile::tempdir;
use vectors::{Exact, Nearest, VectorError, Vectors, VectorsWriter};

use crate::data::{Random, stored};

#[test]
fn rows_come_back_as_they_went_in() {
    let folder = tempdir().unwrap();
    for (dimension, count) in [(1, 0), (1, 3), (3, 1), (3, 5), (16, 7), (384, 20)] {
        let mut random = Random(dimension as u64);
        let rows: Vec<Vec<f32>> = (0..count).map(|_| random.vector(dimension)).collect();
        let path = folder.path().join(format!("{dimension}-{count}"));
        let vectors = stored(&path, &rows, dimension);
        assert_eq!((vectors.len() as usize, vectors.dimension()), (count, dimension));
        assert_eq!(vectors.is_empty(), count == 0);
        for (row, expected) in (0..).zip(&rows) {
            assert_eq!(vectors.row(row), expected);
        }
    }
}

#[test]
fn a_file_has_its_name_only_when_it_is_complete() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("vectors");
    let mut writer = VectorsWriter::create(&path, 2).unwrap();
    writer.push(&[1.0, 0.0]).unwrap();
    assert!(!path.exists());
    drop(writer);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    let mut writer = VectorsWriter::create(&path, 2).unwrap();
    writer.push(&[1.0, 0.0]).unwrap();
    writer.finish().unwrap();
    assert_eq!(Vectors::open(&path).unwrap().len(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_does_not_fit_is_refused_and_the_rest_kept() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("vectors");
    for dimension in [0, vectors::DIMENSION_MAX + 1] {
        let refused = VectorsWriter::create(&path, dimension);
        assert!(matches!(
            refused,
            Err(VectorError::Setting {
                field: "dimension",
                ..
            })
        ));
    }
    let mut writer = VectorsWriter::create(&path, 2).unwrap();
    assert_eq!(writer.push(&[1.0, 0.0]).unwrap(), 0);
    assert!(matches!(
        writer.push(&[1.0]),
        Err(VectorError::Dimension {
            expected: 2,
            found: 1
        })
    ));
    assert!(matches!(
        writer.push(&[f32::NAN, 0.0]),
        Err(VectorError::NotFinite { position: 0, .. })
    ));
    assert!(matches!(writer.push(&[0.0, 0.0]), Err(VectorError::ZeroLength)));
    assert!(matches!(
        writer.push(&[2.0, 0.0]),
        Err(VectorError::NotUnit { .. })
    ));
    assert_eq!(writer.push(&[0.0, 1.0]).unwrap(), 1);
    assert_eq!(writer.finish().unwrap(), 2);
    let vectors = Vectors::open(&path).unwrap();
    assert_eq!(vectors.row(1), [0.0, 1.0]);
    assert!(matches!(
        Exact::new(&vectors).nearest(&[1.0], 1, None),
        Err(VectorError::Dimension {
            expected: 2,
            found: 1
        })
    ));
}

#[test]
fn a_missing_file_is_named() {
    let error = Vectors::open("no/such/file".as_ref()).unwrap_err();
    assert!(matches!(error, VectorError::Io { .. }));
    assert!(error.to_string().starts_with("no/such/file: "), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exact_is_a_sort_of_all_scores(
        seed in any::<u64>(), count in 0_usize..60, k in 0_usize..70, allowed in any::<Option<u64>>(),
    ) {
        let folder = tempdir()?;
        let mut random = Random(seed);
        // Few different rows, so that equal scores are common.
        let kinds: Vec<Vec<f32>> = (0..5).map(|_| random.vector(5)).collect();
        let rows: Vec<Vec<f32>> = (0..count).map(|_| kinds[random.below(5)].clone()).collect();
        let vectors = stored(&folder.path().join("vectors"), &rows, 5);
        let query = random.vector(5);
        // Bits 0 to 63: some of them beyond the last row.
        let allowed: Option<RoaringBitmap> =
            allowed.map(|bits| (0..64).filter(|row| bits >> row & 1 == 1).collect());

        let mut expected: Vec<(u32, f32)> = (0..)
            .zip(&rows)
            .filter(|(row, _)| allowed.as_ref().is_none_or(|allowed| allowed.contains(*row)))
            .map(|(row, vector)| (row, kernels::scalar::dot(&query, vector)))
            .collect();
        expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        expected.truncate(k);
        let found = Exact::new(&vectors).nearest(&query, k, allowed.as_ref()).unwrap();
        prop_assert_eq!(found.iter().map(|n| (n.row, n.score)).collect::<Vec<_>>(), expected);
    }
}

#[test]
fn any_k_is_fine() {
    let folder = tempdir().unwrap();
    let rows = [vec![1.0, 0.0], vec![0.0, 1.0]];
    let vectors = stored(&folder.path().join("vectors"), &rows, 2);
    assert_eq!(
        Exact::new(&vectors)
            .nearest(&rows[0], usize::MAX, None)
            .unwrap()
            .len(),
        2
    );
}
