//! `cloze train bench`: how fast training steps are here, on texts without meaning.

use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use encoder::{Batch, Config, Device, MaskedLm, Parameters, Pass, Pooling, SentenceEncoder, Tensor, Var};
use serde_json::json;
use trainer::loss;
use trainer::optimizer::{self, AdamW};

const EXAMPLES: &str = "\
Examples:
  cloze train bench
  cloze train bench --model minilm --task pairs --batch 64 --ragged --steps 20
  RAYON_NUM_THREADS=1 cloze train bench --model bert-tiny --json
A step is forward, backward, clipping and AdamW, as in a run.";

/// Options of `bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    /// The encoder's sizes.
    #[arg(long, value_enum, default_value_t = Model::BertMini)]
    model: Model,
    /// What is learned.
    #[arg(long, value_enum, default_value_t = Objective::Mlm)]
    task: Objective,
    /// Texts of one step; of pairs, on each side.
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// Tokens of the longest text.
    #[arg(long, default_value_t = 128)]
    tokens: usize,
    /// Texts of all lengths from 8 tokens to the longest, instead of one length.
    #[arg(long)]
    ragged: bool,
    /// Steps measured, after two that are not.
    #[arg(long, default_value_t = 10)]
    steps: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Sizes of encoders (Devlin et al. 2018; Turc et al. 2019; Wang et al. 2020 for `minilm`).
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Model {
    /// 2 layers of 128.
    BertTiny,
    /// 4 layers of 256.
    BertMini,
    /// 4 layers of 512.
    BertSmall,
    /// 8 layers of 512.
    BertMedium,
    /// 12 layers of 768.
    BertBase,
    /// 6 layers of 384.
    Minilm,
}

/// What a step learns.
#[derive(Debug, Clone, Copy, PartialEq, ValueEnum)]
enum Objective {
    /// To fill in 15 % of the tokens.
    Mlm,
    /// To find the other text of each pair among those of the batch.
    Pairs,
}

impl Model {
    fn config(self) -> Config {
        match self {
            Self::BertTiny => Config::tiny(),
            Self::BertMini => Config::mini(),
            Self::BertSmall => Config::small(),
            Self::BertMedium => Config::medium(),
            Self::BertBase => Config::base(),
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

/// The model with its texts: `loss` is that of one batch, which is the same in every step.
struct Work {
    model: Learner,
    sides: Vec<Batch>,
    /// Rows to fill in, and with what.
    places: Vec<u32>,
    targets: Vec<u32>,
}

enum Learner {
    Mlm(MaskedLm),
    Pairs(SentenceEncoder),
}

/// Shortest text of a ragged batch.
const SHORTEST: usize = 8;

impl Work {
    fn new(args: &BenchArgs, config: &Config) -> Result<Self> {
        ensure!(
            args.batch > 0 && (SHORTEST..=config.max_position_embeddings).contains(&args.tokens),
            "{} texts of {} tokens; accepted: 1 or more texts of {SHORTEST} to {} tokens",
            args.batch,
            args.tokens,
            config.max_position_embeddings
        );
        let parameters = Parameters::fresh(1, &Device::Cpu);
        let (model, count) = match args.task {
            Objective::Mlm => (Learner::Mlm(MaskedLm::new(&parameters, config)?), 1),
            Objective::Pairs => {
                let model = SentenceEncoder::fresh(&parameters, config, Pooling::Mean, None, true)?;
                (Learner::Pairs(model), 2)
            }
        };
        let texts = |side| texts(args, config.vocab_size, side);
        let sides = (0..count).map(|side| Ok(Batch::new(&texts(side), None, 0, &Device::Cpu)?));
        let sides = sides.collect::<Result<Vec<_>>>()?;
        let (places, targets) = blanks(&sides[0], config.vocab_size);
        Ok(Self {
            model,
            sides,
            places,
            targets,
        })
    }

    fn variables(&self) -> Vec<(String, Var)> {
        match &self.model {
            Learner::Mlm(model) => model.vars(),
            Learner::Pairs(model) => model.vars(),
        }
    }

    fn loss(&self, step: u64) -> Result<Tensor> {
        let mut pass = Pass::train(step);
        Ok(match &self.model {
            Learner::Mlm(model) => {
                let hidden = model.bert.forward(&self.sides[0], &mut pass)?.flatten(0, 1)?;
                let places = Tensor::new(self.places.as_slice(), hidden.device())?;
                let logits = model.head.forward(&hidden.index_select(&places, 0)?, &pass)?;
                let targets = Tensor::new(self.targets.as_slice(), logits.device())?;
                loss::cross_entropy(&logits, &targets)?
            }
            Learner::Pairs(model) => {
                let queries = model.forward(&self.sides[0], &mut pass)?;
                let passages = model.forward(&self.sides[1], &mut pass)?;
                let owner = Tensor::arange(0, self.sides[0].size() as u32, queries.device())?;
                loss::contrastive(&queries.matmul(&passages.t()?)?, &owner, 20.0)?
            }
        })
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.sides.iter().flat_map(Batch::lengths)
    }

    /// Operations of the matrix products of a step, two for a multiplication and addition; the backward pass has
    /// twice those of the forward pass. Lookups, norms and activations are not counted.
    fn operations(&self, config: &Config) -> f64 {
        let (width, wide) = (config.hidden_size, config.intermediate_size);
        let layer =
            |tokens: usize| tokens * (4 * width * width + 2 * width * wide) + 2 * tokens * tokens * width;
        let layers = config.num_hidden_layers * self.lengths().map(layer).sum::<usize>();
        let head = match self.model {
            Learner::Mlm(_) => self.places.len() * width * (width + config.vocab_size),
            Learner::Pairs(_) => 0,
        };
        3.0 * 2.0 * (layers + head) as f64
    }
}

/// Texts of one side of a batch: ids, and ragged lengths, from all over their ranges.
fn texts(args: &BenchArgs, vocabulary: usize, side: usize) -> Vec<Vec<u32>> {
    let text = |number: usize| {
        let shorter = (args.tokens - SHORTEST + 1) * usize::from(args.ragged);
        let length = args.tokens - (number * 7919 + side * 31) % shorter.max(1);
        let id = |at: usize| ((number * 7919 + at * 104_729 + side * 1543) % vocabulary) as u32;
        (0..length).map(id).collect()
    };
    (0..args.batch).map(text).collect()
}

/// 15 % of the tokens: their rows in the padded batch, and what is to be filled in.
fn blanks(batch: &Batch, vocabulary: usize) -> (Vec<u32>, Vec<u32>) {
    let rows = batch.lengths().into_iter().enumerate();
    let places = rows.flat_map(|(row, length)| {
        let count = (0.15 * length as f64).round() as usize;
        (0..count).map(move |at| (row * batch.tokens() + at * length / count) as u32)
    });
    let places: Vec<u32> = places.collect();
    let targets = places
        .iter()
        .map(|&place| place.wrapping_mul(7919) % vocabulary as u32);
    let targets = targets.collect();
    (places, targets)
}

/// Runs `train bench`.
pub(crate) fn bench(args: &BenchArgs, screen: &mut dyn Write) -> Result<()> {
    ensure!(args.steps > 0, "--steps 0; accepted: 1 or more");
    let config = args.model.config();
    let work = Work::new(args, &config)?;
    let adam = AdamW::new(work.variables(), optimizer::Settings::default())?;
    for step in 0..WARMING {
        advance(&work, &adam, step)?;
    }
    let mut times = (WARMING..WARMING + args.steps)
        .map(|step| advance(&work, &adam, step))
        .collect::<Result<Vec<_>>>()?;
    times.sort();
    let (fastest, median) = (times[0].as_secs_f64(), times[times.len() / 2].as_secs_f64());
    let texts = work.lengths().count() as f64 / median;
    let tokens = work.lengths().sum::<usize>() as f64 / median;
    let rate = work.operations(&config) / median / 1e9;
    if args.json {
        let report = json!({
            "parameters": adam.parameters(), "steps": args.steps, "seconds_median": median,
            "seconds_fastest": fastest, "texts_per_second": texts, "tokens_per_second": tokens,
            "gflops": rate,
        });
        writeln!(screen, "{report}")?;
        return Ok(());
    }
    writeln!(screen, "{} parameters, {} steps", adam.parameters(), args.steps)?;
    writeln!(
        screen,
        "a step: {:.0} ms (median), {:.0} ms (fastest)",
        1e3 * median,
        1e3 * fastest
    )?;
    writeln!(
        screen,
        "{texts:.0} texts/s, {tokens:.0} tokens/s, {rate:.0} GFLOP/s in matrix products"
    )?;
    Ok(())
}

/// Steps that are not measured.
const WARMING: u64 = 2;

/// One step and its time.
fn advance(work: &Work, adam: &AdamW, step: u64) -> Result<Duration> {
    let start = Instant::now();
    let loss = work.loss(step)?;
    let gradients = adam.gradients(&mut loss.backward()?)?;
    let rate = 1e-4;
    adam.step(&gradients, step + 1, rate)?;
    Ok(start.elapsed())
}
