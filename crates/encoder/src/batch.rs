//! Token ids of several texts, as a rectangle with padding and as rows without it.

use candle_core::{DType, Device, Tensor};

use crate::{Error, Result};

/// Texts of one batch. Rows shorter than the longest are filled with the padding id on the right; the mask is 1
/// on tokens and 0 on padding, so it always is a run of ones followed by zeros.
#[derive(Debug, Clone)]
pub struct Batch {
    rows: Vec<Vec<u32>>,
    types: Option<Vec<Vec<u32>>>,
    tokens: usize,
    ids: Tensor,
    segments: Tensor,
    mask: Tensor,
}

impl Batch {
    /// Makes a batch of `rows` (token ids, each at least one) with optional segment ids of the same lengths
    /// (0 everywhere otherwise).
    ///
    /// # Errors
    /// [`Error::Batch`] for no rows, an empty row, or segment ids that do not fit their row.
    pub fn new(rows: &[Vec<u32>], types: Option<&[Vec<u32>]>, pad_id: u32, device: &Device) -> Result<Self> {
        check(rows, types)?;
        let tokens = rows.iter().map(Vec::len).max().unwrap_or(0);
        let shape = (rows.len(), tokens);
        let ids = Tensor::from_vec(padded(rows, tokens, pad_id), shape, device)?;
        let segments = match types {
            Some(types) => Tensor::from_vec(padded(types, tokens, 0), shape, device)?,
            None => Tensor::zeros(shape, DType::U32, device)?,
        };
        let ones = rows
            .iter()
            .flat_map(|row| (0..tokens).map(|at| if at < row.len() { 1f32 } else { 0.0 }));
        let mask = Tensor::from_vec(ones.collect::<Vec<_>>(), shape, device)?;
        Ok(Self {
            rows: rows.to_vec(),
            types: types.map(<[_]>::to_vec),
            tokens,
            ids,
            segments,
            mask,
        })
    }

    /// Token ids, (batch, tokens), u32.
    pub fn ids(&self) -> &Tensor {
        &self.ids
    }

    /// Segment ids, (batch, tokens), u32.
    pub fn types(&self) -> &Tensor {
        &self.segments
    }

    /// 1 on tokens, 0 on padding, (batch, tokens), f32.
    pub fn mask(&self) -> &Tensor {
        &self.mask
    }

    /// Number of texts.
    pub fn size(&self) -> usize {
        self.rows.len()
    }

    /// Tokens of the longest text.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// Tokens of each text.
    pub fn lengths(&self) -> Vec<usize> {
        self.rows.iter().map(Vec::len).collect()
    }

    /// Where the tensors live.
    pub fn device(&self) -> &Device {
        self.ids.device()
    }

    /// Token, position and segment id of every token, back to back without padding.
    pub(crate) fn packed(&self) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
        let ids = self.rows.concat();
        let positions = self.rows.iter().flat_map(|row| 0..row.len() as u32).collect();
        let types = self
            .types
            .as_ref()
            .map_or_else(|| vec![0; ids.len()], |types| types.concat());
        (ids, positions, types)
    }

    /// Checks that the model has every id and position of the batch.
    pub(crate) fn check_ids(&self, vocab: usize, types: usize, positions: usize) -> Result<()> {
        if self.tokens > positions {
            return Err(Error::TooLong {
                tokens: self.tokens,
                positions,
            });
        }
        let all = [
            ("token", Some(&self.rows), vocab),
            ("segment", self.types.as_ref(), types),
        ];
        for (kind, rows, size) in all {
            let unknown = rows
                .into_iter()
                .flatten()
                .flatten()
                .find(|&&id| id as usize >= size);
            if let Some(&id) = unknown {
                return Err(Error::UnknownId { kind, id, size });
            }
        }
        Ok(())
    }
}

fn check(rows: &[Vec<u32>], types: Option<&[Vec<u32>]>) -> Result<()> {
    let problem = |row, reason: String| Err(Error::Batch { row, reason });
    if rows.is_empty() {
        return problem(0, "a batch needs at least one text".into());
    }
    if let Some(row) = rows.iter().position(Vec::is_empty) {
        return problem(row, "a text needs at least one token".into());
    }
    let Some(types) = types else { return Ok(()) };
    if types.len() != rows.len() {
        return problem(
            types.len(),
            format!("{} rows of segment ids for {} texts", types.len(), rows.len()),
        );
    }
    for (row, (ids, types)) in rows.iter().zip(types).enumerate() {
        if ids.len() != types.len() {
            return problem(
                row,
                format!("{} segment ids for {} tokens", types.len(), ids.len()),
            );
        }
    }
    Ok(())
}

fn padded(rows: &[Vec<u32>], tokens: usize, pad: u32) -> Vec<u32> {
    let mut flat = Vec::with_capacity(rows.len() * tokens);
    for row in rows {
        flat.extend_from_slice(row);
        flat.resize(flat.len() + tokens - row.len(), pad);
    }
    flat
}
