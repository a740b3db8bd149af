//! Dense layers: packed weights and the product with rows.

use std::ops::Range;

use crate::functions::{Activation, activate};
use crate::lines::{LINE, Line, Lines};
use crate::rows::{Precision, Rows, to_bf16};
use crate::simd::{InstructionSet, Simd, Task};
use crate::tile::{Arithmetic, Bytes, Factor, Floats, Halves, multiply, tile_rows, with_rows};

/// Columns of a panel.
const PANEL: usize = 64;

/// Weights of a dense layer, packed for products: `activation(x Wᵀ + b)`.
///
/// Outputs are cut into panels of 64. In a panel, the units of one inner position of all 64 outputs are
/// neighbours: that is the order in which the product reads them, for every instruction set.
#[derive(Debug, Clone)]
pub struct Linear {
    layout: Layout,
    lines: Lines,
}

/// Where what lies in the lines of a layer: the panels, the biases and, of 8-bit weights, for each output the size
/// of a step and the sum of the weights. Outputs are filled up to whole panels with zeros.
#[derive(Debug, Clone, Copy)]
struct Layout {
    precision: Precision,
    inputs: usize,
    outputs: usize,
}

impl Layout {
    /// Units of one output.
    fn units(self) -> usize {
        self.inputs.div_ceil(self.precision.per_unit())
    }

    /// Outputs with those that fill the last panel.
    fn padded(self) -> usize {
        self.outputs.next_multiple_of(PANEL)
    }

    /// Units before the biases.
    fn bias(self) -> usize {
        self.padded() * self.units()
    }

    /// Units before the sizes of steps.
    fn scales(self) -> usize {
        self.bias() + self.padded()
    }

    /// Units before the sums.
    fn sums(self) -> usize {
        self.scales() + self.padded()
    }

    /// All lines.
    fn lines(self) -> usize {
        let end = match self.precision {
            Precision::Int8 => self.sums() + self.padded(),
            Precision::F32 | Precision::Bf16 => self.scales(),
        };
        end / LINE
    }

    /// Writes the weights of one output to their places.
    fn pack_row(self, lines: &mut [Line], output: usize, row: &[f32]) {
        let largest = row.iter().fold(0.0_f32, |most, w| most.max(w.abs()));
        let step = largest / 127.0;
        let byte = |w: f32| match step > 0.0 {
            true => (w / step).round_ties_even() as i32,
            false => 0,
        };
        if self.precision == Precision::Int8 {
            let sum: i32 = row.iter().map(|&w| byte(w)).sum();
            put(lines, self.scales() + output, step.to_bits());
            put(lines, self.sums() + output, sum as u32);
        }
        let (panel, column) = (output / PANEL, output % PANEL);
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
            put(lines, (panel * self.units() + at) * PANEL + column, unit);
        }
    }
}

fn put(lines: &mut [Line], at: usize, unit: u32) {
    lines[at / LINE].set(at % LINE, unit);
}

/// Where the results of a product go.
#[derive(Debug)]
pub enum Target<'a> {
    /// Rows of as many values as there are results in a row.
    Floats(&'a mut [f32]),
    /// Rows of `stride` values; the results begin at value `at` of a row.
    Strided {
        /// All rows.
        values: &'a mut [f32],
        /// Values from one row to the next.
        stride: usize,
        /// Where in a row.
        at: usize,
    },
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
        let layout = Layout {
            precision,
            inputs,
            outputs,
        };
        let mut lines = vec![Line::default(); layout.lines()];
        for (output, bias) in bias.iter().enumerate() {
            put(&mut lines, layout.bias() + output, bias.to_bits());
        }
        if inputs > 0 {
            for (output, row) in weight.chunks_exact(inputs).enumerate() {
                layout.pack_row(&mut lines, output, row);
            }
        }
        Self {
            layout,
            lines: lines.into(),
        }
    }

    /// A layer out of its [`Linear::lines`], or none when they have not the size of such a layer.
    pub fn from_lines(lines: Lines, inputs: usize, outputs: usize, precision: Precision) -> Option<Self> {
        let layout = Layout {
            precision,
            inputs,
            outputs,
        };
        (lines.count() == layout.lines()).then_some(Self { layout, lines })
    }

    /// Everything that the layer consists of, in the order of this version of the program.
    pub fn lines(&self) -> &Lines {
        &self.lines
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.layout.outputs
    }

    /// Number of inputs.
    pub fn inputs(&self) -> usize {
        self.layout.inputs
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
        let columns = 0..self.layout.outputs;
        self.apply_columns(set, x, rows, columns, activation, target);
    }

    /// As [`Linear::apply`], for some of the outputs only: the results are the same, bit for bit.
    ///
    /// # Panics
    /// As [`Linear::apply`]; when `columns` does not begin at a multiple of 64.
    pub fn apply_columns(
        &self,
        set: InstructionSet,
        x: &Rows,
        rows: Range<usize>,
        columns: Range<usize>,
        activation: Option<Activation>,
        target: Target<'_>,
    ) {
        assert_eq!(
            x.width(),
            self.layout.inputs,
            "as many numbers in a row as inputs"
        );
        assert_eq!(x.precision(), self.layout.precision, "factors of one number type");
        assert!(rows.end <= x.count(), "rows that there are");
        assert!(
            columns.end <= self.layout.outputs && columns.start.is_multiple_of(PANEL),
            "columns from the beginning of a panel"
        );
        if rows.is_empty() || columns.is_empty() {
            return;
        }
        let out = Out::of(target, rows.len(), columns.len());
        set.run(Product {
            layout: self.layout,
            weights: self.lines.units(),
            x,
            rows,
            columns,
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
            Target::Strided { values, stride, at } => {
                assert!(
                    at + width <= stride && values.len() >= rows * stride,
                    "room for the results"
                );
                Self::Floats(values[at..].as_mut_ptr(), stride)
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
    layout: Layout,
    /// All units of the layer.
    weights: &'a [u32],
    x: &'a Rows,
    rows: Range<usize>,
    columns: Range<usize>,
    activation: Option<Activation>,
    out: Out,
}

impl Task for Product<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.layout.precision {
            Precision::F32 => self.in_vectors::<S, Floats>(s),
            Precision::Bf16 => self.in_vectors::<S, Halves>(s),
            Precision::Int8 => self.in_vectors::<S, Bytes>(s),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn in_vectors<S: Simd, A: Arithmetic<S>>(self, s: S) {
        if S::REGISTERS == 32 {
            self.panels::<S, A, 4>(s);
        } else {
            self.panels::<S, A, 2>(s);
        }
    }

    #[inline(always)]
    fn panels<S: Simd, A: Arithmetic<S>, const VECTORS: usize>(self, s: S) {
        let mut column = self.columns.start;
        while column < self.columns.end {
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
        let units = self.layout.units();
        let weights = self.weights.as_ptr();
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
        while vector < VECTORS && column + vector * S::N < self.columns.end {
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
        let layout = self.layout;
        let weights = self.weights.as_ptr();
        let is_exact = layout.precision == Precision::F32;
        let n = S::N.min(self.columns.end - column);
        // SAFETY: the layer has `Layout::lines` lines, in which bias, scales and sums are filled up to whole panels; the rows and the `n` columns are among those
        // that `Out::of` checked.
        unsafe {
            let bias = s.load(weights.add(layout.bias() + column).cast());
            let (mut scales, mut sum) = (bias, s.splat_unit(0));
            if layout.precision == Precision::Int8 {
                scales = s.load(weights.add(layout.scales() + column).cast());
                sum = s.load_units(weights.add(layout.sums() + column));
            }
            let mut at = 0;
            while at < ROWS {
                let value = if layout.precision == Precision::Int8 {
                    let (scale, zero) = self.x.coding(self.rows.start + row + at);
                    let offset = s.mul_int(s.splat_unit(zero as u32), sum);
                    let value = A::value(s, sums[at][vector], offset);
                    s.fma(value, s.mul(s.splat(scale), scales), bias)
                } else {
                    s.add(A::value(s, sums[at][vector], sum), bias)
                };
                let value = activate(s, value, self.activation, is_exact);
                self.out.write(s, row + at, column - self.columns.start, value, n);
                at += 1;
            }
        }
    }
}
