//! `cloze train bench`: how fast a model trains here.

use std::io::Write;
use std::time::Instant;

use anyhow::Result;
use clap::{Args, ValueEnum};
use encoder::Config;
use trainer::bench::{Bench, Figures, measure, profile};
use trainer::recipe::{Compute, Precision, Processor};

/// Options of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// The shape of the model.
    #[arg(long, value_enum, default_value_t = Preset::BertBase)]
    model: Preset,
    /// What computes: cpu or cuda.
    #[arg(long, default_value = "cpu")]
    device: Processor,
    /// The type of activations: f32, or bf16 on a GPU. Left out, bf16 on a GPU.
    #[arg(long)]
    precision: Option<Precision>,
    /// Tokens of each text.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Texts of a step.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Steps that are timed.
    #[arg(long, default_value_t = 20)]
    steps: u64,
    /// Steps before them.
    #[arg(long, default_value_t = 5)]
    warm_up: u64,
    /// Share of the tokens to predict.
    #[arg(long, default_value_t = 0.15)]
    masked: f64,
    /// What the device could do at most, in TFLOP/s; the default is an H100's in bf16.
    #[arg(long, default_value_t = 989.0)]
    peak: f64,
    /// Compute activations again in the backward pass: less memory, more time.
    #[arg(long)]
    recompute: bool,
    /// On a GPU, say also which kernels a step takes, and how long.
    #[arg(long)]
    profile: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Known shapes.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Preset {
    /// 12 layers of 768.
    BertBase,
    /// 4 layers of 256.
    BertMini,
    /// 6 layers of 384, as all-MiniLM-L6.
    Minilm,
}

impl Preset {
    fn config(self) -> Config {
        match self {
            Self::BertBase => Config::base(),
            Self::BertMini => Config::mini(),
            Self::Minilm => Config {
                num_hidden_layers: 6,
                hidden_size: 384,
                num_attention_heads: 12,
                intermediate_size: 1536,
                ..Config::base()
            },
        }
    }
}

/// Measures and prints.
pub(crate) fn bench(options: &BenchArgs, screen: &mut dyn Write) -> Result<()> {
    let precision = options.precision.unwrap_or(match options.device {
        Processor::Cpu => Precision::F32,
        Processor::Cuda => Precision::Bf16,
    });
    let bench = Bench {
        config: options.model.config(),
        compute: Compute {
            device: options.device,
            precision,
            recompute: options.recompute,
        },
        tokens: options.tokens,
        texts: options.batch,
        warm_up: options.warm_up,
        steps: options.steps,
        masked: options.masked,
        peak: 1e12 * options.peak,
    };
    let start = Instant::now();
    let figures = measure(&bench, &|| start.elapsed())?;
    match options.json {
        true => writeln!(screen, "{}", serde_json::to_string(&figures)?)?,
        false => tell(&figures, options, screen)?,
    }
    if options.profile {
        for (name, launches, milliseconds) in profile(&bench)? {
            writeln!(screen, "{milliseconds:>9.3} ms {launches:>4} x {name}")?;
        }
    }
    Ok(())
}

fn tell(figures: &Figures, options: &BenchArgs, screen: &mut dyn Write) -> std::io::Result<()> {
    writeln!(
        screen,
        "{} parameters, {} texts of {} tokens a step: {:.2} ms",
        figures.parameters, options.batch, options.tokens, figures.step_ms
    )?;
    writeln!(
        screen,
        "{:.0} sequences/s, {:.0} tokens/s, {:.1} % of {} TFLOP/s",
        figures.sequences_per_second,
        figures.tokens_per_second,
        100.0 * figures.mfu,
        options.peak
    )?;
    if let Some(bytes) = figures.peak_memory {
        writeln!(screen, "{:.2} GB of memory at most", bytes as f64 / 1e9)?;
    }
    writeln!(
        screen,
        "{:.1} % of the time waiting for data",
        100.0 * figures.waiting
    )
}
