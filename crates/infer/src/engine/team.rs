//! One group of texts through all layers on several threads, for one text that should be answered soon.
//!
//! Each member of the team has some of the heads and some of the columns of every product, and everything that
//! costs little it does for itself: norms, rounding. What the others need of its results it shares, four times in a
//! layer. Arithmetic and results are those of one thread, bit for bit.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use kernels::{AttentionHeads, Target, attention};
use rayon::ThreadPool;

use super::group::{BLOCK_ROWS, Scratch, grow};
use super::{Engine, Layer, Tokens};

/// Columns are shared out in panels of so many.
const PANEL: usize = 64;
/// Looks at a barrier before a thread lets others run.
const SPINS: usize = 1 << 7;

/// Threads that work on one group, with their memory.
pub(super) struct Team {
    members: Vec<Scratch>,
    exchange: Exchange,
}

/// Which part of the columns a thread has.
#[derive(Clone, Copy)]
struct Place {
    at: usize,
    size: usize,
}

impl Place {
    /// Its part of `width` columns.
    fn columns(self, width: usize) -> Range<usize> {
        let part = width / self.size;
        self.at * part..(self.at + 1) * part
    }
}

impl Team {
    /// A team of at most `threads` members, or none when columns and heads cannot be shared out.
    pub(super) fn new(engine: &Engine, threads: usize) -> Option<Self> {
        let wide = engine.layers.first()?.intermediate.outputs();
        let divides = |size: &usize| {
            let panels = [engine.hidden, wide]
                .iter()
                .all(|width| width.is_multiple_of(size * PANEL));
            panels && engine.heads.count.is_multiple_of(*size)
        };
        let size = (2..=threads).rev().find(divides)?;
        Some(Self {
            members: (0..size)
                .map(|_| Scratch::of_heads(engine, engine.heads.count / size))
                .collect(),
            exchange: Exchange::new(size),
        })
    }
}

impl Engine {
    /// Hidden states of the texts, one after the other, computed by this thread and others of `pool`.
    pub(super) fn forward_together<'a>(
        &self,
        texts: &[&Tokens],
        team: &'a mut Team,
        pool: &ThreadPool,
    ) -> Result<&'a [f32], String> {
        let rows: usize = texts.iter().map(|text| text.ids.len()).sum();
        let size = team.members.len();
        let exchange = &team.exchange;
        for scratch in &mut team.members {
            scratch.resize(rows, self.hidden);
            self.embed(texts, scratch)?;
        }
        pool.in_place_scope(|scope| {
            for (at, scratch) in team.members.iter_mut().enumerate() {
                let place = Place { at, size };
                scope.spawn(move |_| self.take_part(texts, scratch, place, exchange));
            }
        });
        Ok(&team.members[0].states[..rows * self.hidden])
    }

    fn take_part(&self, texts: &[&Tokens], scratch: &mut Scratch, place: Place, exchange: &Exchange) {
        let rows = texts.iter().map(|text| text.ids.len()).sum();
        let mut turns = exchange.turns(place.at);
        for layer in &self.layers {
            self.project_heads(layer, rows, scratch, place);
            let width = place.columns(self.hidden).len();
            let mut added = std::mem::take(&mut scratch.added);
            turns.share(rows, width, &mut added, |mine| {
                self.attend_heads(texts, scratch, place, mine)
            });
            scratch.added = added;
            for first in (0..rows).step_by(BLOCK_ROWS) {
                let block = first..rows.min(first + BLOCK_ROWS);
                self.finish_block(layer, block, scratch, place, &mut turns);
            }
        }
    }

    /// Queries, keys and values of the member's heads.
    fn project_heads(&self, layer: &Layer, rows: usize, scratch: &mut Scratch, place: Place) {
        let columns = place.columns(self.hidden);
        let (width, stride) = (columns.len(), 3 * columns.len());
        grow(&mut scratch.wide, rows * stride);
        for part in 0..3 {
            let from = part * self.hidden + columns.start;
            let target = Target::Strided {
                values: &mut scratch.wide,
                stride,
                at: part * width,
            };
            let (linear, x) = (&layer.query_key_value, &scratch.coded);
            linear.apply_columns(self.set, x, 0..rows, from..from + width, None, target);
        }
        scratch
            .query_key_value
            .encode(self.set, 0, &scratch.wide[..rows * stride]);
    }

    fn attend_heads(&self, texts: &[&Tokens], scratch: &mut Scratch, place: Place, out: &mut [f32]) {
        let heads = AttentionHeads {
            count: self.heads.count / place.size,
            ..self.heads
        };
        let width = place.columns(self.hidden).len();
        let mut from = 0;
        for text in texts {
            let to = from + text.ids.len();
            let out = &mut out[from * width..to * width];
            attention(
                self.set,
                &scratch.query_key_value,
                from..to,
                heads,
                out,
                &mut scratch.attention,
            );
            from = to;
        }
    }

    /// What a layer does after attention, for some rows.
    fn finish_block(
        &self,
        layer: &Layer,
        rows: Range<usize>,
        scratch: &mut Scratch,
        place: Place,
        turns: &mut Turns<'_>,
    ) {
        let set = self.set;
        let values = rows.start * self.hidden..rows.end * self.hidden;
        let states = &mut scratch.states[values.clone()];
        let added = &mut scratch.added[values];
        let count = rows.len();
        let columns = place.columns(self.hidden);
        scratch.coded.encode(set, rows.start, added);
        turns.share(count, columns.len(), added, |mine| {
            let (linear, x) = (&layer.attended, &scratch.coded);
            linear.apply_columns(set, x, rows.clone(), columns.clone(), None, Target::Floats(mine));
        });
        layer.attended_norm.apply(set, states, added);
        scratch.coded.encode(set, rows.start, states);

        let wide = scratch.coded_wide.width();
        let wide_columns = place.columns(wide);
        grow(&mut scratch.wide, count * wide);
        turns.share(count, wide_columns.len(), &mut scratch.wide, |mine| {
            let (linear, x) = (&layer.intermediate, &scratch.coded);
            let target = Target::Floats(mine);
            linear.apply_columns(set, x, rows.clone(), wide_columns, Some(self.activation), target);
        });
        scratch.coded_wide.encode(set, 0, &scratch.wide[..count * wide]);
        turns.share(count, columns.len(), added, |mine| {
            let (linear, x) = (&layer.output, &scratch.coded_wide);
            linear.apply_columns(set, x, 0..count, columns, None, Target::Floats(mine));
        });
        layer.output_norm.apply(set, states, added);
        scratch.coded.encode(set, rows.start, states);
    }
}

/// Where members put what the others need.
struct Exchange {
    /// Two for each member, used in turns: who writes the second has seen that all read the first.
    slots: Vec<[RwLock<Vec<f32>>; 2]>,
    barrier: Barrier,
}

impl Exchange {
    fn new(size: usize) -> Self {
        Self {
            slots: (0..size).map(|_| Default::default()).collect(),
            barrier: Barrier::new(size),
        }
    }

    fn turns(&self, at: usize) -> Turns<'_> {
        Turns {
            exchange: self,
            at,
            turn: 0,
        }
    }
}

/// One member's side of the exchange.
struct Turns<'a> {
    exchange: &'a Exchange,
    at: usize,
    turn: usize,
}

impl Turns<'_> {
    /// Lets `fill` write this member's columns (rows, width), waits for the others and puts all columns together
    /// in `to`.
    fn share(&mut self, rows: usize, width: usize, to: &mut [f32], fill: impl FnOnce(&mut [f32])) {
        let slot = self.turn % 2;
        self.turn += 1;
        {
            let mut mine = self.exchange.slots[self.at][slot]
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            grow(&mut mine, rows * width);
            fill(&mut mine[..rows * width]);
        }
        self.exchange.barrier.wait();
        let stride = width * self.exchange.slots.len();
        for (at, slots) in self.exchange.slots.iter().enumerate() {
            let theirs = slots[slot].read().unwrap_or_else(PoisonError::into_inner);
            let rows = theirs[..rows * width].chunks_exact(width);
            for (to, from) in to.chunks_exact_mut(stride).zip(rows) {
                to[at * width..][..width].copy_from_slice(from);
            }
        }
    }
}

impl Drop for Turns<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.exchange.barrier.break_up();
        }
    }
}

/// A barrier for waits of microseconds: threads look again and again before they let others run.
struct Barrier {
    size: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    is_broken: AtomicBool,
}

impl Barrier {
    fn new(size: usize) -> Self {
        Self {
            size,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            is_broken: AtomicBool::new(false),
        }
    }

    /// Returns when all have come.
    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.size {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut looks = 0;
        while self.round.load(Ordering::Acquire) == round {
            assert!(
                !self.is_broken.load(Ordering::Relaxed),
                "another thread of the team panicked"
            );
            looks += 1;
            match looks < SPINS {
                true => std::hint::spin_loop(),
                false => std::thread::yield_now(),
            }
        }
    }

    /// Nobody waits any more for one who does not come.
    fn break_up(&self) {
        self.is_broken.store(true, Ordering::Relaxed);
    }
}
