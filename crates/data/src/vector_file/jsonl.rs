//! JSON Lines of vectors.

use std::io::Write;

use serde::Serialize;

use super::VectorRows;
use crate::error::Reason;

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    vector: &'a [f32],
}

pub(super) struct Sink<W> {
    output: W,
    dimension: usize,
    /// The lines of one call: whoever reads along never sees half of one for long.
    lines: Vec<u8>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(output: W, dimension: usize) -> Self {
        Self {
            output,
            dimension,
            lines: Vec::new(),
        }
    }
}

impl<W: Write> super::Sink for Sink<W> {
    fn write(&mut self, rows: &VectorRows) -> Result<(), Reason> {
        self.lines.clear();
        for (id, vector) in rows.ids.iter().zip(rows.values.chunks(self.dimension)) {
            let line = Line { id, vector };
            serde_json::to_writer(&mut self.lines, &line).map_err(std::io::Error::from)?;
            self.lines.push(b'\n');
        }
        self.output.write_all(&self.lines)?;
        Ok(self.output.flush()?)
    }

    fn finish(mut self: Box<Self>) -> Result<(), Reason> {
        Ok(self.output.flush()?)
    }
}
