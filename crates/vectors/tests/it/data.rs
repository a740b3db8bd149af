//! Vectors to test with.

use std::path::Path;

use vectors::{Codes, Vectors, VectorsWriter};

/// A small generator of numbers (SplitMix64, Steele and others 2014): the same in every release of anything.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Near to normally distributed: the sum of twelve uniform numbers, less its mean.
    fn normal(&mut self) -> f32 {
        (0..12)
            .map(|_| (self.next() >> 40) as f32 / (1 << 24) as f32)
            .sum::<f32>()
            - 6.0
    }

    pub(crate) fn vector(&mut self, dimension: usize) -> Vec<f32> {
        loop {
            let mut vector: Vec<f32> = (0..dimension).map(|_| self.normal()).collect();
            if kernels::normalize(&mut vector).is_some() {
                return vector;
            }
        }
    }

    /// A vector near another one: `spread` times the length of noise is added.
    pub(crate) fn near(&mut self, center: &[f32], spread: f32) -> Vec<f32> {
        loop {
            let noise = self.vector(center.len());
            let mut vector: Vec<f32> = center.iter().zip(&noise).map(|(c, n)| c + spread * n).collect();
            if kernels::normalize(&mut vector).is_some() {
                return vector;
            }
        }
    }

    /// Vectors around `clusters` centers, in no order.
    pub(crate) fn clustered(&mut self, rows: usize, dimension: usize, clusters: usize) -> Vec<Vec<f32>> {
        let centers: Vec<Vec<f32>> = (0..clusters).map(|_| self.vector(dimension)).collect();
        (0..rows)
            .map(|_| {
                let center = self.below(clusters);
                self.near(&centers[center], 0.7)
            })
            .collect()
    }
}

/// Writes and opens.
pub(crate) fn stored(path: &Path, rows: &[Vec<f32>], dimension: usize) -> Vectors {
    let mut writer = VectorsWriter::create(path, dimension).unwrap();
    for row in rows {
        writer.push(row).unwrap();
    }
    assert_eq!(writer.finish().unwrap() as usize, rows.len());
    Vectors::open(path).unwrap()
}

/// Rounds, writes and opens.
pub(crate) fn coded(vectors: &Vectors, folder: &Path) -> Codes {
    let path = folder.join("codes");
    Codes::write(vectors, &path).unwrap();
    Codes::open(&path).unwrap()
}
