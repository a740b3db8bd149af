//! A teacher's vectors of the texts of a pairs file, in the form the sentence task reads.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use encoder::{Batch, Pass, SentenceEncoder};
use text::Tokenizer;

use crate::error::{Error, Result, io};
use crate::tasks::sentence::pairs;

/// Lines that are taken in at a time. A text that comes again among them is computed once.
const WINDOW_LINES: usize = 65_536;

/// The teacher: vectors of texts, in their order, all of the same length.
pub type Embed<'a> = dyn Fn(&[&str]) -> Result<Vec<Vec<f32>>> + 'a;

/// Writes `queries.npy` and `positives.npy` into `out`: f16, one row a line of the pairs file. They get these names when
/// they are whole. Memory holds a window of lines. `report` gets the number of lines done.
///
/// # Errors
/// When a file is damaged or cannot be written, or the model refuses.
pub fn teach(embed: &Embed<'_>, pairs: &Path, out: &Path, mut report: impl FnMut(usize)) -> Result<()> {
    std::fs::create_dir_all(out).map_err(io(out))?;
    let mut files = ["queries.npy", "positives.npy"].map(|name| Rows::new(out.join(name)));
    let mut lines = pairs::read(pairs)?;
    loop {
        let window = lines.by_ref().take(WINDOW_LINES).collect::<Result<Vec<_>>>()?;
        if window.is_empty() {
            break;
        }
        let queries: Vec<&str> = window.iter().map(|pair| pair.query.as_str()).collect();
        let positives: Vec<&str> = window.iter().map(|pair| pair.positive.as_str()).collect();
        for (file, texts) in files.iter_mut().zip([queries, positives]) {
            file.write(embed, &texts)?;
        }
        report(files[0].rows);
    }
    if files[0].rows == 0 {
        return Err(Error::Setting {
            field: "pairs",
            value: format!("{}, which has no line", pairs.display()),
            accepted: "a file with at least one line".into(),
        });
    }
    files.into_iter().try_for_each(Rows::finish)
}

/// Tokens of one batch, so that memory does not depend on the lengths.
const BATCH_TOKENS: usize = 65_536;

/// The vectors of texts, of which `tokens_max` tokens are read, by a model on its device; those of like length together.
///
/// # Errors
/// When the tokenizer or the model refuses.
pub fn by_model(
    model: &SentenceEncoder,
    tokenizer: &Tokenizer,
    texts: &[&str],
    tokens_max: usize,
) -> Result<Vec<Vec<f32>>> {
    let encodings = tokenizer.encode_batch(texts, tokens_max.min(model.max_seq_length()))?;
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&at| encodings[at].len());
    let device = model.bert().word_embeddings().device();
    let mut vectors = vec![Vec::new(); texts.len()];
    let mut rest = order.as_slice();
    while !rest.is_empty() {
        let fits = |count: &usize| *count == 1 || count * encodings[rest[count - 1]].len() <= BATCH_TOKENS;
        let count = (1..=rest.len()).take_while(fits).last().unwrap_or(1);
        let (batch, left) = rest.split_at(count);
        rest = left;
        let rows: Vec<Vec<u32>> = batch.iter().map(|&at| encodings[at].ids.clone()).collect();
        let rows = Batch::new(&rows, None, tokenizer.special().pad, device)?;
        let found: Tensor = model.forward(&rows, &mut Pass::infer())?.to_dtype(DType::F32)?;
        for (&at, vector) in batch.iter().zip(found.to_vec2::<f32>()?) {
            vectors[at] = vector;
        }
    }
    Ok(vectors)
}

/// A matrix of f16 in NumPy's format 1.0 (<https://numpy.org/neps/nep-0001-npy-format.html>), written row by row: the
/// header, whose length does not change, is written again when the rows are counted.
struct Rows {
    path: PathBuf,
    /// Where it is until it is whole.
    aside: PathBuf,
    file: Option<BufWriter<File>>,
    rows: usize,
    width: usize,
}

impl Rows {
    fn new(path: PathBuf) -> Self {
        Self {
            aside: path.with_extension("npy.part"),
            path,
            file: None,
            rows: 0,
            width: 0,
        }
    }

    /// Appends a row for each text.
    fn write(&mut self, embed: &Embed<'_>, texts: &[&str]) -> Result<()> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut unique: Vec<&str> = Vec::new();
        let mut row_of_text = Vec::with_capacity(texts.len());
        for &text in texts {
            let place = *places.entry(text).or_insert(unique.len());
            if place == unique.len() {
                unique.push(text);
            }
            row_of_text.push(place);
        }
        let vectors = embed(&unique)?;
        self.append(row_of_text.into_iter().map(|row| vectors[row].as_slice()))
    }

    fn append<'v>(&mut self, vectors: impl Iterator<Item = &'v [f32]>) -> Result<()> {
        let at = io(&self.aside);
        for vector in vectors {
            if self.file.is_none() {
                self.width = vector.len();
                let mut file = BufWriter::new(File::create(&self.aside).map_err(&at)?);
                file.write_all(&header(0, self.width)).map_err(&at)?;
                self.file = Some(file);
            }
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|&value| half::f16::from_f32(value).to_le_bytes())
                .collect();
            if let Some(file) = &mut self.file {
                file.write_all(&bytes).map_err(&at)?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let at = io(&self.aside);
        let Some(mut file) = self.file else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(0)).map_err(&at)?;
        file.write_all(&header(self.rows, self.width)).map_err(&at)?;
        file.flush().map_err(&at)?;
        std::fs::rename(&self.aside, &self.path).map_err(&at)
    }
}

/// 128 bytes whatever the shape.
fn header(rows: usize, width: usize) -> Vec<u8> {
    let shape = format!("{{'descr': '<f2', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let mut header = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    header.extend(format!("{shape:<117}\n").bytes());
    header
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use candle_core::Tensor;

    #[test]
    fn every_line_has_its_row_and_every_text_is_computed_once() {
        let folder = tempfile::tempdir().unwrap();
        let pairs = folder.path().join("pairs.jsonl");
        let line =
            |n: usize| serde_json::json!({"query": format!("q{n}"), "positive": "p".repeat(1 + n % 3)});
        std::fs::write(
            &pairs,
            (0..10).map(|n| line(n).to_string() + "\n").collect::<String>(),
        )
        .unwrap();
        let asked = std::cell::Cell::new(0);
        let embed = |texts: &[&str]| -> Result<Vec<Vec<f32>>> {
            asked.set(asked.get() + texts.len());
            Ok(texts.iter().map(|text| vec![text.len() as f32, 0.25]).collect())
        };
        let mut told = Vec::new();
        teach(&embed, &pairs, folder.path(), |done| told.push(done)).unwrap();
        assert_eq!((asked.get(), told), (13, vec![10]));
        let positives = Tensor::read_npy(folder.path().join("positives.npy")).unwrap();
        assert_eq!(positives.dtype(), DType::F16);
        let rows = positives.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
        let expected: Vec<Vec<f32>> = (0..10).map(|n| vec![(1 + n % 3) as f32, 0.25]).collect();
        assert_eq!(rows, expected);
        let queries = Tensor::read_npy(folder.path().join("queries.npy")).unwrap();
        assert_eq!(queries.dims(), [10, 2]);

        std::fs::write(&pairs, "").unwrap();
        let error = teach(&embed, &pairs, folder.path(), |_| {})
            .unwrap_err()
            .to_string();
        assert!(error.contains("which has no line"), "{error}");
    }
}
