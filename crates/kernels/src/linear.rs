//! Dense layers: packed weights and the product with rows.

use std::ops::Range;

use crate::functions::{Activation, activate};
use crate::rows::{Precision, Rows, to_bf16};
use crate::simd::{InstructionSet, Simd, Task};
use crate::tile::{Arithmetic, Bytes, Factor, Floats, Halves, multiply, tile_rows, with_rows};

/// Columns of a panel.
const PANEL: usize = 64;

/// Units that fill a cache line, so that vectors of weights never cross one.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C, align(64))]
pub(crate) struct Line(pub(crate) [u32; 16]);

/// Units in a cache line.
pub(crate) const LINE: usize = 16;

/// Weights of a dense layer, packed for products: `activation(x Wᵀ + b)`.
///
/// Outputs are cut into panels of 64. In a panel, the units of one inner position of all 64 outputs are
/// neighbours: that is the order in which the product reads them, for every instruction set.
#[derive(Debug, Clone)]
pub struct Linear {
    precision: Precision,
    inputs: usize,
    outputs: usize,
    panels: Vec<Line>,
    bias: Vec<f32>,
    /// Of 8-bit weights: the size of a step, for each output.
    scales: Vec<f32>,
    /// Of 8-bit weights: their sum, for each output.
    sums: Vec<i32>,
}

/// Where the results of a product go.
#[derive(Debug)]
pub enum Target<'a> {
    /// Rows of as many values as the layer has outputs.
    Floats(&'a mut [f32]),
    /// Rows of f32 or bf16, from this row on.
    Rows(&'a mut Rows, usize),
}

impl Linear {
    /// Packs `weight` (outputs, inputs) and `bias` (outputs); all values are finite.
    ///
    /// # Panics
    /// When the sizes do not agree, or 8-bit sums of so many inputs would not fit into 32 bits.
    pub fn pack(weight: &[f32], bias: &[f32], inputs: usize, precision: Precision) -> Self {
        let outputs = bias.len();
        assert_eq!(
            weight.len(),
            inputs * outputs,
            "a weight for each input and output"
        );
        assert!(
            precision != Precision::Int8 || inputs <= 1 << 16,
            "8-bit sums fit into 32 bits"
        );
        let padded = outputs.next_multiple_of(PANEL);
        let mut linear = Self {
            precision,
            inputs,
            outputs,
            panels: vec![Line::default(); padded * inputs.div_ceil(precision.per_unit()) / LINE],
            bias: vec![0.0; padded],
            scales: Vec::new(),
            sums: Vec::new(),
        };
        linear.bias[..outputs].copy_from_slice(bias);
        if precision == Precision::Int8 {
            linear.scales.resize(padded, 0.0);
            linear.sums.resize(padded, 0);
        }
        if inputs > 0 {
            for (output, row) in weight.chunks_exact(inputs).enumerate() {
                linear.pack_row(output, row);
            }
        }
        linear
    }

    fn pack_row(&mut self, output: usize, row: &[f32]) {
        let largest = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let step = largest / 127.0;
        let byte = |w: f32| {
            if step > 0.0 {
                (w / step).round_ties_even() as i32
            } else {
                0
            }
        };
        if self.precision == Precision::Int8 {
            self.scales[output] = step;
            self.sums[output] = row.iter().map(|&w| byte(w)).sum();
        }
        let (panel, column) = (output / PANEL, output % PANEL);
        let units = self.units();
        for (at, part) in row.chunks(self.precision.per_unit()).enumerate() {
            let unit = match self.precision {
                Precision::F32 => part[0].to_bits(),
                Precision::Bf16 => {
                    let high = part.get(1).map_or(0, |&w| u32::from(to_bf16(w)));
                    u32::from(to_bf16(part[0])) | high << 16
                }
                Precision::Int8 => {
                    let mut bytes = [0; 4];
                    for (to, &w) in bytes.iter_mut().zip(part) {
                        *to = byte(w) as i8 as u8;
                    }
                    u32::from_le_bytes(bytes)
                }
            };
            let place = (panel * units + at) * PANEL + column;
            self.panels[place / LINE].0[place % LINE] = unit;
        }
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number type of the factors.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes that the packed weights take.
    pub fn bytes(&self) -> usize {
        self.panels.len() * size_of::<Line>() + 4 * (self.bias.len() + self.scales.len() + self.sums.len())
    }

    /// Units of one output.
    fn units(&self) -> usize {
        self.inputs.div_ceil(self.precision.per_unit())
    }

    /// Writes `activation(x Wᵀ + b)` of some rows of `x` to `target`.
    ///
    /// # Panics
    /// When widths or number types do not agree, or the target has no room.
    pub fn apply(
        &self,
        set: InstructionSet,
        x: &Rows,
        rows: Range<usize>,
        activation: Option<Activation>,
        target: Target<'_>,
    ) {
        assert_eq!(x.width(), self.inputs, "as many numbers in a row as inputs");
        assert_eq!(x.precision(), self.precision, "factors of one number type");
        assert!(rows.end <= x.count(), "rows that there are");
        if rows.is_empty() || self.outputs == 0 {
            return;
        }
        let out = Out::of(target, rows.len(), self.outputs);
        set.run(Product {
            linear: self,
            x,
            rows,
            activation,
            out,
        });
    }
}

/// Room for the results: values of 32 or 16 bits.
#[derive(Clone, Copy)]
enum Out {
    Floats(*mut f32, usize),
    Halves(*mut u16, usize),
}

impl Out {
    /// Checks that there is room for `rows` of `width`.
    fn of(target: Target<'_>, rows: usize, width: usize) -> Self {
        match target {
            Target::Floats(values) => {
                assert!(values.len() >= rows * width, "room for the results");
                Self::Floats(values.as_mut_ptr(), width)
            }
            Target::Rows(to, at) => {
                assert_eq!(to.width(), width, "rows as wide as the results");
                assert!(at + rows <= to.count(), "room for the results");
                let (stride, precision) = (to.stride(), to.precision());
                let units = to.units_mut()[at * stride..].as_mut_ptr();
                match precision {
                    Precision::F32 => Self::Floats(units.cast(), stride),
                    Precision::Bf16 => Self::Halves(units.cast(), 2 * stride),
                    Precision::Int8 => {
                        unreachable!("8-bit rows need the extremes of a row first: encode them")
                    }
                }
            }
        }
    }

    /// Writes `n` results of one row.
    ///
    /// # Safety
    /// The row and the columns are within what was checked.
    #[inline(always)]
    #[allow(unsafe_code, reason = "writes where room was checked")]
    unsafe fn write<S: Simd>(self, s: S, row: usize, column: usize, values: S::F, n: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Self::Floats(at, stride) => s.store_some(at.add(row * stride + column), values, n),
                Self::Halves(at, stride) => s.store_bf16(at.add(row * stride + column), values, n),
            }
        }
    }
}

struct Product<'a> {
    linear: &'a Linear,
    x: &'a Rows,
    rows: Range<usize>,
    activation: Option<Activation>,
    out: Out,
}

impl Task for Product<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.linear.precision {
            Precision::F32 => self.in_vectors::<S, Floats>(s),
            Precision::Bf16 => self.in_vectors::<S, Halves>(s),
            Precision::Int8 => self.in_vectors::<S, Bytes>(s),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn in_vectors<S: Simd, A: Arithmetic<S>>(self, s: S) {
        if S::N == 16 {
            self.panels::<S, A, 4>(s);
        } else {
            self.panels::<S, A, 2>(s);
        }
    }

    #[inline(always)]
    fn panels<S: Simd, A: Arithmetic<S>, const VECTORS: usize>(self, s: S) {
        let mut column = 0;
        while column < self.linear.outputs {
            let mut row = 0;
            let mut tile = 0;
            while row < self.rows.len() {
                let count = tile_rows(self.rows.len(), tile);
                with_rows!(count, ROWS => self.tile::<S, A, ROWS, VECTORS>(s, row, column));
                row += count;
                tile += 1;
            }
            column += VECTORS * S::N;
        }
    }

    #[inline(always)]
    #[allow(unsafe_code, reason = "the sizes were checked once for all tiles")]
    fn tile<S: Simd, A: Arithmetic<S>, const ROWS: usize, const VECTORS: usize>(
        &self,
        s: S,
        row: usize,
        column: usize,
    ) {
        let units = self.linear.units();
        let weights = self.linear.panels.as_ptr().cast::<u32>();
        // SAFETY: `row + ROWS` rows are within `rows`, which are in `x`; panels are filled up with zeros, so there
        // are `VECTORS * S::N` columns from `column`, a multiple of that, to the end of its panel.
        let sums = unsafe {
            let x = Factor {
                at: self
                    .x
                    .units()
                    .as_ptr()
                    .add((self.rows.start + row) * self.x.stride()),
                stride: self.x.stride(),
            };
            let w = Factor {
                at: weights.add(column / PANEL * PANEL * units + column % PANEL),
                stride: PANEL,
            };
            multiply::<S, A, ROWS, VECTORS>(s, x, w, units)
        };
        let mut vector = 0;
        while vector < VECTORS && column + vector * S::N < self.linear.outputs {
            self.finish::<S, A, ROWS, VECTORS>(s, row, column + vector * S::N, vector, &sums);
            vector += 1;
        }
    }

    /// Scales, bias and activation of one vector of columns of a tile.
    #[inline(always)]
    #[allow(unsafe_code, reason = "the sizes were checked once for all tiles")]
    fn finish<S: Simd, A: Arithmetic<S>, const ROWS: usize, const VECTORS: usize>(
        &self,
        s: S,
        row: usize,
        column: usize,
        vector: usize,
        sums: &[[A::Sum; VECTORS]; ROWS],
    ) {
        let linear = self.linear;
        let is_exact = linear.precision == Precision::F32;
        let n = S::N.min(linear.outputs - column);
        // SAFETY: bias, scales and sums are filled up to whole panels; the rows and the `n` columns are among those
        // that `Out::of` checked.
        unsafe {
            let bias = s.load(linear.bias.as_ptr().add(column));
            let (mut scales, mut weights) = (bias, s.splat_unit(0));
            if linear.precision == Precision::Int8 {
                scales = s.load(linear.scales.as_ptr().add(column));
                weights = s.load_units(linear.sums.as_ptr().add(column).cast());
            }
            let mut at = 0;
            while at < ROWS {
                let value = if linear.precision == Precision::Int8 {
                    let (scale, zero) = self.x.coding(self.rows.start + row + at);
                    let offset = s.mul_int(s.splat_unit(zero as u32), weights);
                    let value = A::value(s, sums[at][vector], offset);
                    s.fma(value, s.mul(s.splat(scale), scales), bias)
                } else {
                    s.add(A::value(s, sums[at][vector], weights), bias)
                };
                let value = activate(s, value, self.activation, is_exact);
                self.out.write(s, row + at, column, value, n);
                at += 1;
            }
        }
    }
}
