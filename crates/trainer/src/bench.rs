//! How fast a model trains: whole steps of the masked-language-model task on made-up texts.

use std::time::Duration;

use candle_core::{Device, Var};
use encoder::{Batch, Config, MaskedLm, Parameters, Pass};
use rand::Rng as _;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::optimizer::{self, AdamW};
use crate::random;
use crate::recipe::Compute;
use crate::run::{Feed, Task, TaskLoss};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Bench {
    /// The model.
    pub config: Config,
    /// Where it computes.
    pub compute: Compute,
    /// Tokens of each text, at most the model's positions.
    pub tokens: usize,
    /// Texts of a step.
    pub texts: usize,
    /// Steps before the clock starts.
    pub warm_up: u64,
    /// Steps that are timed.
    pub steps: u64,
    /// Share of the tokens to predict, above 0 and at most 1.
    pub masked: f64,
    /// What the device could do at most, floating-point operations a second.
    pub peak: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Figures {
    /// Trainable numbers.
    pub parameters: usize,
    /// Texts a second.
    pub sequences_per_second: f64,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// Milliseconds of a step.
    pub step_ms: f64,
    /// Floating-point operations that a step needs, see [`operations`].
    pub step_operations: f64,
    /// Their share of what the device could do in that time (model FLOPs utilization, Chowdhery et al. 2022,
    /// appendix B, <https://arxiv.org/abs/2204.02311>).
    pub mfu: f64,
    /// The most memory of the GPU that tensors took, in bytes; none on the CPU.
    pub peak_memory: Option<u64>,
    /// Share of the time in which the device waited for a batch.
    pub waiting: f64,
    /// Loss of the last step.
    pub loss: f32,
}

/// Floating-point operations of a training step: a product of (m, k) and (k, n) is `2 m k n`, and the backward pass
/// takes twice the forward pass. For each token and layer that is `6 (4 h² + 2 h i) + 12 h n` with hidden width h,
/// intermediate width i and n tokens a text; for each hidden token `6 (h² + h v)` with a vocabulary of v. What is
/// computed again to save memory does not count.
pub fn operations(config: &Config, tokens: usize, texts: usize, masked: f64) -> f64 {
    let [h, i, v] = [config.hidden_size, config.intermediate_size, config.vocab_size].map(|x| x as f64);
    let (n, layers) = (tokens as f64, config.num_hidden_layers as f64);
    let all = n * texts as f64;
    all * layers * (6.0 * (4.0 * h * h + 2.0 * h * i) + 12.0 * h * n) + all * masked * 6.0 * (h * h + h * v)
}

/// Takes the steps and times them; the clock tells the time since the program's start.
///
/// # Errors
/// A device that cannot be opened or has no memory left, settings out of range.
pub fn measure(bench: &Bench, clock: &dyn Fn() -> Duration) -> Result<Figures> {
    let task = Steps::new(bench)?;
    let adam = AdamW::new(task.variables(), optimizer::Settings::default())?;
    let count = bench.warm_up + bench.steps;
    std::thread::scope(|scope| {
        let mut feed = Feed::start(scope, &task, 0..count, clock);
        let (mut start, mut loss) = (clock(), f32::NAN);
        for step in 0..count {
            if step == bench.warm_up {
                feed.take_waited();
                start = clock();
            }
            let (number, batch) = feed.next()?;
            loss = task.step(&adam, number, &batch)?;
        }
        Ok(task.figures(&adam, (clock() - start).as_secs_f64(), feed.take_waited(), loss))
    })
    .map_err(Error::or_memory)
}

/// Where the time of a step on a GPU goes: names of kernels, launches and milliseconds, the largest first. Each is
/// timed by itself, so the sum is more than a step takes.
///
/// # Errors
/// As [`measure`]; on the CPU there is no profile.
#[cfg(feature = "cuda")]
pub fn profile(bench: &Bench) -> Result<Vec<(String, u64, f64)>> {
    let task = Steps::new(bench)?;
    let adam = AdamW::new(task.variables(), optimizer::Settings::default())?;
    let batch = task.prepare(0)?;
    for step in 0..bench.warm_up {
        task.step(&adam, step, &batch)?;
    }
    let shares = encoder::cuda::profile(|| task.step(&adam, bench.warm_up, &batch).map(drop))?;
    let share = |share: encoder::cuda::Share| (share.name, share.launches, 1e3 * share.seconds);
    Ok(shares.into_iter().map(share).collect())
}

/// As with the feature `cuda`, without which there is none.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cuda"))]
pub fn profile(bench: &Bench) -> Result<Vec<(String, u64, f64)>> {
    bench.compute.open()?;
    Err(Error::Setting {
        field: "profile",
        value: "on the CPU".into(),
        accepted: "on a GPU".into(),
    })
}

/// The task: texts of random tokens.
struct Steps<'a> {
    bench: &'a Bench,
    device: Device,
    parameters: Parameters,
    model: MaskedLm,
}

impl<'a> Steps<'a> {
    fn new(bench: &'a Bench) -> Result<Self> {
        let refuse = |field, value: String, accepted: &str| Error::Setting {
            field,
            value,
            accepted: accepted.into(),
        };
        if bench.steps == 0 || bench.texts == 0 || bench.tokens == 0 {
            let value = format!("{}, {} and {}", bench.steps, bench.texts, bench.tokens);
            return Err(refuse("steps, texts and tokens", value, "1 or more of each"));
        }
        if !(bench.masked > 0.0 && bench.masked <= 1.0) {
            return Err(refuse("masked", bench.masked.to_string(), "above 0, at most 1"));
        }
        let device = bench.compute.open()?;
        let parameters = Parameters::fresh(1, &device);
        let model = MaskedLm::new(&parameters, &bench.config)?;
        Ok(Self {
            bench,
            device,
            parameters,
            model,
        })
    }

    /// A whole step; the loss is read, which waits for the device.
    fn step(&self, adam: &AdamW, number: u64, batch: &MadeUp) -> Result<f32> {
        let TaskLoss { loss, .. } = self.compute(number, batch)?;
        let gradients = adam.gradients(&mut encoder::backward(&loss)?)?;
        adam.step(&gradients, number + 1, 1e-4)?;
        Ok(loss.to_scalar()?)
    }

    fn figures(&self, adam: &AdamW, seconds: f64, waited: f64, loss: f32) -> Figures {
        let bench = self.bench;
        let steps = bench.steps as f64;
        let step_operations = operations(&bench.config, bench.tokens, bench.texts, bench.masked);
        Figures {
            parameters: adam.parameters(),
            sequences_per_second: steps * bench.texts as f64 / seconds,
            tokens_per_second: steps * (bench.texts * bench.tokens) as f64 / seconds,
            step_ms: 1e3 * seconds / steps,
            step_operations,
            mfu: step_operations * steps / seconds / bench.peak,
            peak_memory: peak_memory(&self.device),
            waiting: waited / seconds,
            loss,
        }
    }
}

#[cfg(feature = "cuda")]
fn peak_memory(device: &Device) -> Option<u64> {
    encoder::cuda::memory(device).ok().map(|memory| memory.peak)
}

#[cfg(not(feature = "cuda"))]
fn peak_memory(_: &Device) -> Option<u64> {
    None
}

/// A batch of random tokens.
#[derive(Debug, Serialize)]
struct MadeUp {
    rows: Vec<Vec<u32>>,
    places: Vec<u32>,
    targets: Vec<u32>,
}

impl Task for Steps<'_> {
    type Batch = MadeUp;

    fn describe(&self) -> String {
        format!(
            "{} made-up texts of {} tokens a step",
            self.bench.texts, self.bench.tokens
        )
    }

    fn variables(&self) -> Vec<(String, Var)> {
        self.parameters.vars()
    }

    fn prepare(&self, number: u64) -> Result<MadeUp> {
        let Bench {
            texts,
            tokens,
            masked,
            config,
            ..
        } = self.bench;
        let mut random = random::stream(1, "made-up texts", number);
        let mut draw = |count: usize| -> Vec<u32> {
            (0..count)
                .map(|_| random.random_range(0..config.vocab_size as u32))
                .collect()
        };
        let rows = (0..*texts).map(|_| draw(*tokens)).collect();
        let all = texts * tokens;
        let hidden = ((all as f64 * masked).round() as usize).clamp(1, all);
        // Evenly spread, each place once.
        let places: Vec<u32> = (0..hidden).map(|at| (at * all / hidden) as u32).collect();
        let targets = draw(places.len());
        Ok(MadeUp {
            rows,
            places,
            targets,
        })
    }

    fn compute(&self, number: u64, batch: &MadeUp) -> Result<TaskLoss> {
        let texts = Batch::new(&batch.rows, None, self.bench.config.pad_token_id, &self.device)?;
        let mut pass = Pass::train(number);
        Ok(TaskLoss {
            loss: self
                .model
                .loss(&texts, &batch.places, &batch.targets, &mut pass)?,
            parts: Vec::new(),
            tokens: self.bench.texts * self.bench.tokens,
            batch: format!("made-up batch {number}"),
        })
    }

    fn save(&self, _: &std::path::Path) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use std::time::Instant;

    #[test]
    fn counts_the_operations_of_bert_base() {
        // 6 operations a token for each of the 84.9 M weights of the products, and attention over 128 tokens.
        let base = Config::base();
        let found = operations(&base, 128, 1, 0.0) / 128.0;
        assert_eq!(found, 6.0 * 84_934_656.0 + 12.0 * 12.0 * 768.0 * 128.0);
        let head = operations(&base, 128, 1, 1.0) / 128.0 - found;
        assert_eq!(head, 6.0 * (768.0 * 768.0 + 768.0 * base.vocab_size as f64));
    }

    #[test]
    fn measures_steps_on_the_cpu() {
        let bench = Bench {
            config: Config {
                vocab_size: 50,
                ..Config::tiny()
            },
            compute: Compute::default(),
            tokens: 8,
            texts: 2,
            warm_up: 1,
            steps: 2,
            masked: 0.2,
            peak: 1e12,
        };
        let start = Instant::now();
        let figures = measure(&bench, &|| start.elapsed()).unwrap();
        assert!(figures.loss.is_finite() && figures.mfu > 0.0 && figures.step_ms > 0.0);
        let sequences = figures.tokens_per_second / 8.0;
        assert!((figures.sequences_per_second / sequences - 1.0).abs() < 1e-9);
        let none = Bench { steps: 0, ..bench };
        assert!(measure(&none, &|| start.elapsed()).is_err());
    }
}
