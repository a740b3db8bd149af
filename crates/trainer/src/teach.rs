//! A teacher's vectors of the texts of a pairs file, in the form the sentence task reads.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use encoder::{Batch, Pass, SentenceEncoder};
use text::Tokenizer;

use crate::error::{Result, io};
use crate::tasks::sentence::pairs;

/// Tokens of one batch, so that memory does not depend on the lengths.
const BATCH_TOKENS: usize = 8192;

/// Writes `queries.npy` and `positives.npy` into `out`: f16, one row a line of the pairs file. A text that
/// occurs more than once is computed once. `report` gets the number of texts done and of all.
///
/// # Errors
/// When a file is damaged or cannot be written, or the model refuses.
pub fn teach(
    model: &SentenceEncoder,
    tokenizer: &Tokenizer,
    pairs: &Path,
    out: &Path,
    mut report: impl FnMut(usize, usize),
) -> Result<()> {
    std::fs::create_dir_all(out).map_err(io(out))?;
    let pairs = pairs::read(pairs)?;
    let queries: Vec<&str> = pairs.iter().map(|pair| pair.query.as_str()).collect();
    let positives: Vec<&str> = pairs.iter().map(|pair| pair.positive.as_str()).collect();
    for (name, texts) in [("queries.npy", queries), ("positives.npy", positives)] {
        let vectors = embed_all(model, tokenizer, &texts, &mut report)?;
        vectors.write_npy(out.join(name))?;
    }
    Ok(())
}

fn embed_all(
    model: &SentenceEncoder,
    tokenizer: &Tokenizer,
    texts: &[&str],
    report: &mut impl FnMut(usize, usize),
) -> Result<Tensor> {
    let mut places: HashMap<&str, u32> = HashMap::new();
    let mut unique: Vec<&str> = Vec::new();
    let mut row_of_text = Vec::with_capacity(texts.len());
    for text in texts {
        let place = *places.entry(text).or_insert(unique.len() as u32);
        if place as usize == unique.len() {
            unique.push(text);
        }
        row_of_text.push(place);
    }
    let encodings = tokenizer.encode_batch(&unique, model.max_seq_length())?;
    let mut order: Vec<usize> = (0..unique.len()).collect();
    order.sort_by_key(|&at| encodings[at].len());
    let mut parts = Vec::new();
    let mut done = 0;
    while done < order.len() {
        let longest = |count: usize| encodings[order[done + count - 1]].len();
        let fits = |count: &usize| *count == 1 || count * longest(*count) <= BATCH_TOKENS;
        let count = (1..=order.len() - done).take_while(fits).last().unwrap_or(1);
        let rows: Vec<Vec<u32>> = order[done..done + count]
            .iter()
            .map(|&at| encodings[at].ids.clone())
            .collect();
        let batch = Batch::new(&rows, None, tokenizer.special().pad, &Device::Cpu)?;
        parts.push(model.forward(&batch, &mut Pass::infer())?.to_dtype(DType::F16)?);
        done += count;
        report(done, order.len());
    }
    // Row of each unique text in the order of computation, then of each line.
    let mut computed = vec![0u32; order.len()];
    for (row, &at) in order.iter().enumerate() {
        computed[at] = row as u32;
    }
    let rows: Vec<u32> = row_of_text.iter().map(|&text| computed[text as usize]).collect();
    Ok(Tensor::cat(&parts, 0)?.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
}
