//! The loop itself, on a model that is trained in no time: scores, checkpoints, guards, ranks, and what is left of a
//! run that was killed.

mod guards;
mod interruptions;
mod ranks;

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng as _;
use trainer::optimizer::Settings;
use trainer::recipe::Saving;
use trainer::schedule::Schedule;
use trainer::{Outcome, Plan, Run, Task, TaskLoss, random};

type Checked = Result<(), Box<dyn Error>>;

/// Learns a linear map from examples with noise; one of its units has no part in it.
struct Line {
    weight: Var,
    bias: Var,
    frozen: Var,
    /// What evaluations find, one after the other; when empty, how near the map is.
    scores: Vec<f64>,
    evaluated: AtomicUsize,
    /// From this batch on the examples are of another world.
    broken_from: u64,
    sleep: Duration,
    /// The loss that shows that nothing was learned.
    blind: Option<f64>,
}

impl Line {
    fn new() -> Result<Self, candle_core::Error> {
        Ok(Self {
            weight: Var::from_tensor(&Tensor::new(
                &[[0.1f32, -0.2, 0.3], [0.2, 0.1, -0.1]],
                &Device::Cpu,
            )?)?,
            bias: Var::zeros(3, DType::F32, &Device::Cpu)?,
            frozen: Var::ones((2, 3), DType::F32, &Device::Cpu)?,
            scores: Vec::new(),
            evaluated: AtomicUsize::new(0),
            broken_from: u64::MAX,
            sleep: Duration::ZERO,
            blind: None,
        })
    }

    fn bits(&self) -> Result<Vec<u32>, candle_core::Error> {
        let mut bits = Vec::new();
        for (_, var) in self.variables() {
            bits.extend(var.flatten_all()?.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
        }
        Ok(bits)
    }
}

impl Task for Line {
    /// Inputs, and the outputs of the map that is to be learned.
    type Batch = (Vec<f32>, Vec<f32>);

    fn describe(&self) -> String {
        "a test".into()
    }

    fn variables(&self) -> Vec<(String, Var)> {
        vec![
            ("a.frozen".into(), self.frozen.clone()),
            ("b.weight".into(), self.weight.clone()),
            ("intermediate.dense.bias".into(), self.bias.clone()),
        ]
    }

    fn blind_loss(&self) -> Option<f64> {
        self.blind
    }

    fn rate(&self, name: &str) -> f64 {
        if name == "a.frozen" { 0.0 } else { 1.0 }
    }

    fn prepare(&self, number: u64) -> trainer::Result<Self::Batch> {
        let mut random = random::stream(1, "line", number);
        let input: Vec<f32> = (0..8).map(|_| random.random_range(-1.0..1.0)).collect();
        let scale = if number >= self.broken_from { 1e3 } else { 1.0 };
        let rows = input.chunks(2);
        let output = rows.flat_map(|x| [x[0] - x[1], 2.0 * x[0], 0.0].map(|y| scale * y));
        Ok((input.clone(), output.collect()))
    }

    fn compute(&self, number: u64, (input, output): &Self::Batch) -> trainer::Result<TaskLoss> {
        std::thread::sleep(self.sleep);
        let device = &Device::Cpu;
        let input = Tensor::from_slice(input, (4, 2), device)?;
        let output = Tensor::from_slice(output, (4, 3), device)?;
        // The third unit is cut off.
        let alive = Tensor::new(&[1f32, 1.0, 0.0], device)?;
        let found = input
            .matmul(&(self.weight.as_tensor() * self.frozen.as_tensor())?)?
            .broadcast_add(&self.bias)?;
        let loss = (found.broadcast_mul(&alive)? - output)?.sqr()?.mean_all()?;
        Ok(TaskLoss {
            parts: vec![("squares", loss.to_scalar::<f32>()?)],
            loss,
            tokens: 4,
            batch: format!("batch {number}"),
        })
    }

    fn evaluate(&self) -> trainer::Result<Vec<(&'static str, f64)>> {
        let at = self.evaluated.fetch_add(1, Ordering::Relaxed);
        let near = -f64::from(
            self.compute(1 << 40, &self.prepare(1 << 40)?)?
                .loss
                .to_scalar::<f32>()?,
        );
        Ok(vec![("near", self.scores.get(at).copied().unwrap_or(near))])
    }

    fn save(&self, folder: &Path) -> trainer::Result<()> {
        Ok(self.weight.write_npy(folder.join("weight.npy"))?)
    }
}

fn plan(out: &Path) -> Plan {
    Plan {
        optimizer: Settings {
            learning_rate: 0.05,
            ..Settings::default()
        },
        schedule: Schedule {
            steps: 60,
            ..Schedule::default()
        },
        saving: Saving {
            checkpoint_steps: 7,
            log_steps: 1,
            ..Saving::default()
        },
        out: out.to_owned(),
        recipe: r#"{"seed":1}"#.into(),
    }
}

fn no_time() -> Duration {
    Duration::ZERO
}

fn finish(task: &Line, plan: Plan, resume: bool) -> trainer::Result<Outcome> {
    Run::new(task, plan, &no_time, resume)?.finish(|_| {})
}

fn message<T>(result: trainer::Result<T>) -> String {
    result.err().map(|error| error.to_string()).unwrap_or_default()
}

/// The lines of the log as JSON, without what depends on the time.
fn log(out: &Path) -> Result<Vec<serde_json::Value>, Box<dyn Error>> {
    let text = std::fs::read_to_string(out.join("log.jsonl"))?;
    let mut lines = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<Vec<serde_json::Value>, _>>()?;
    for line in lines.iter_mut().filter_map(serde_json::Value::as_object_mut) {
        line.retain(|key, _| !["tokens_per_second", "waiting", "seconds", "tokens"].contains(&key.as_str()));
    }
    Ok(lines)
}
