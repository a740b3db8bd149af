//! The loop itself, on a model that is trained in no time: scores, checkpoints, guards, ranks, and what is left of a
//! run that was killed.

use std::error::Error;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use rand::Rng as _;
use trainer::optimizer::Settings;
use trainer::recipe::Saving;
use trainer::schedule::Schedule;
use trainer::{AllReduce, Ended, News, Outcome, Plan, Run, Task, TaskLoss, random};

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

#[test]
fn the_model_is_scored_before_the_first_step_and_after_the_last() -> Checked {
    let folder = tempfile::tempdir()?;
    let mut plan = plan(folder.path());
    plan.saving.evaluate_steps = 25;
    let task = Line::new()?;
    let mut told = Vec::new();
    let outcome = Run::new(&task, plan, &no_time, false)?.finish(|news| match news {
        News::Scores(evaluation) => told.push(evaluation.clone()),
        News::Steps(_) => {}
    })?;
    assert_eq!(told, outcome.evaluations);
    let steps: Vec<u64> = told.iter().map(|evaluation| evaluation.step).collect();
    assert_eq!(steps, [0, 25, 50, 60]);
    assert!(told[3].scores[0].1 > told[0].scores[0].1 + 0.2, "{told:?}");
    assert_eq!((outcome.ended, outcome.saved), (Ended::Finished, 60));
    let scored = log(folder.path())?
        .into_iter()
        .filter(|line| line["scores"]["near"].is_f64());
    assert_eq!(scored.count(), 4);
    for file in [
        "curve.svg",
        "scores.svg",
        "tensorboard/events.out.tfevents.0000000000.0000000000",
    ] {
        assert!(folder.path().join(file).exists(), "{file}");
    }
    // The third unit never gets a gradient, the variable as a whole does.
    assert_eq!((outcome.units[0].dead, outcome.units[0].all), (1, 3));
    assert_eq!(task.frozen.to_vec2::<f32>()?, [[1.0; 3]; 2]);
    Ok(())
}

#[test]
fn patience_ends_a_run_and_the_best_model_is_saved() -> Checked {
    let folder = tempfile::tempdir()?;
    let scripted = || -> Result<Line, candle_core::Error> {
        Ok(Line {
            scores: vec![0.1, 0.4, 0.3, 0.4, 0.9],
            ..Line::new()?
        })
    };
    let mut plan = plan(&folder.path().join("early"));
    plan.saving = Saving {
        evaluate_steps: 10,
        patience: 2,
        keep_best: true,
        ..plan.saving
    };
    let task = scripted()?;
    let outcome = finish(&task, plan.clone(), false)?;
    assert_eq!(
        (outcome.ended, outcome.steps, outcome.saved),
        (Ended::Early, 30, 10)
    );
    // What ten steps leave.
    let mut short = plan.clone();
    short.out = folder.path().join("short");
    short.schedule.steps = 60;
    let ten = Line::new()?;
    let stop_at_ten = AtomicUsize::new(0);
    let stop = || stop_at_ten.fetch_add(1, Ordering::Relaxed) >= 10;
    let cut = Run::new(&ten, short, &no_time, false)?
        .interrupted_by(&stop)
        .finish(|_| {})?;
    assert_eq!((cut.ended, cut.steps), (Ended::Interrupted, 10));
    assert_eq!(task.bits()?, ten.bits()?);
    // With more patience it goes on from where it ended, and the best of before still counts.
    plan.saving.patience = 3;
    let more = Line {
        scores: vec![0.9, 0.1],
        ..Line::new()?
    };
    let outcome = finish(&more, plan.clone(), true)?;
    assert_eq!(
        (outcome.ended, outcome.steps, outcome.saved),
        (Ended::Finished, 60, 40)
    );
    let kept: Vec<_> = std::fs::read_dir(plan.out.join("checkpoints"))?.collect::<Result<_, _>>()?;
    assert_eq!(kept.len(), 6, "{kept:?}");
    Ok(())
}

#[test]
fn settings_that_only_scores_could_follow_are_refused_without_them() -> Checked {
    let folder = tempfile::tempdir()?;
    let mut plan = plan(folder.path());
    plan.saving.patience = 1;
    let said = message(finish(&Line::new()?, plan, false));
    assert!(said.contains("saving.patience is 1"), "{said}");
    Ok(())
}

#[test]
fn a_damaged_checkpoint_is_named_and_the_one_before_it_used() -> Checked {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out");
    let whole = Line::new()?;
    let outcome = finish(&whole, plan(&out), false)?;
    let expected = log(&out)?;
    let checkpoint = |name: &str| out.join("checkpoints").join(name);
    type Damage = fn(&Path) -> std::io::Result<()>;
    let cut: Damage = |path| std::fs::write(path, &std::fs::read(path)?[..40]);
    let flip: Damage = |path| {
        let mut bytes = std::fs::read(path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(path, bytes)
    };
    let remove: Damage = |path| std::fs::remove_file(path);
    for (name, damage) in [
        ("step-0000000060.safetensors", cut),
        ("step-0000000060.safetensors", flip),
        ("step-0000000060.safetensors", remove),
        ("step-0000000060.json", flip),
    ] {
        damage(&checkpoint(name))?;
        let task = Line::new()?;
        let run = Run::new(&task, plan(&out), &no_time, true)?;
        assert_eq!((run.step(), run.notes().len()), (56, 1));
        assert!(run.notes()[0].contains("step-0000000060"), "{:?}", run.notes());
        // It comes to the same end, and says each step once.
        let again = run.finish(|_| {})?;
        assert_eq!((again.loss, task.bits()?), (outcome.loss, whole.bits()?));
        assert_eq!(log(&out)?, expected);
    }
    for step in [56, 60] {
        cut(&checkpoint(&format!("step-00000000{step}.safetensors")))?;
    }
    let said = message(Run::new(&Line::new()?, plan(&out), &no_time, true).map(|_| ()));
    assert!(
        said.contains("step-0000000060") && said.contains("checksum"),
        "{said}"
    );
    Ok(())
}

#[test]
fn another_recipe_is_refused_by_the_setting_but_saving_may_differ() -> Checked {
    let folder = tempfile::tempdir()?;
    finish(&Line::new()?, plan(folder.path()), false)?;
    let mut other = plan(folder.path());
    other.recipe = r#"{"seed":2}"#.into();
    let said = message(finish(&Line::new()?, other, true));
    assert!(said.contains("another recipe: seed was 1 and is 2"), "{said}");
    let mut saving = plan(folder.path());
    saving.saving.log_steps = 3;
    assert_eq!(finish(&Line::new()?, saving, true)?.steps, 60);
    Ok(())
}

#[test]
fn a_loss_that_leaves_its_course_stops_the_run_and_leaves_the_batches() -> Checked {
    let folder = tempfile::tempdir()?;
    let task = Line {
        broken_from: 100,
        ..Line::new()?
    };
    let mut plan = plan(folder.path());
    plan.schedule.steps = 200;
    let said = message(finish(&task, plan.clone(), false));
    assert!(
        said.starts_with("step 102: the loss is") && said.contains("batch 102"),
        "{said}"
    );
    let dump = std::fs::read(folder.path().join("stopped-step-0000000102.json"))?;
    let dump: serde_json::Value = serde_json::from_slice(&dump)?;
    let numbers: Vec<u64> = dump
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|batch| batch["number"].as_u64())
        .collect();
    assert_eq!(numbers, [100, 101, 102]);
    assert_eq!(dump[0]["batch"][0].as_array().map(Vec::len), Some(8));
    // On request it goes on regardless.
    plan.saving.spike_factor = 0.0;
    assert_eq!(finish(&task, plan, true)?.steps, 200);
    Ok(())
}

/// Ranks that are threads: number 0 adds up what the others send, and sends the sums back.
struct Threads {
    rank: usize,
    world: usize,
    /// To every other rank from number 0, and from the others to it.
    links: Vec<Link>,
}

struct Link {
    send: Sender<Vec<Tensor>>,
    receive: Receiver<Vec<Tensor>>,
}

impl Threads {
    fn new(world: usize) -> Vec<Self> {
        let mut ranks = vec![Self {
            rank: 0,
            world,
            links: Vec::new(),
        }];
        for rank in 1..world {
            let ((send, there), (back, receive)) = (channel(), channel());
            ranks[0].links.push(Link { send, receive });
            let links = vec![Link {
                send: back,
                receive: there,
            }];
            ranks.push(Self { rank, world, links });
        }
        ranks
    }
}

impl AllReduce for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn world(&self) -> usize {
        self.world
    }

    fn sum(&self, tensors: Vec<Tensor>) -> trainer::Result<Vec<Tensor>> {
        let lost = || candle_core::Error::Msg("a rank is lost".into());
        if self.rank > 0 {
            self.links[0].send.send(tensors).map_err(|_| lost())?;
            return Ok(self.links[0].receive.recv().map_err(|_| lost())?);
        }
        let mut sums = tensors;
        for link in &self.links {
            let other = link.receive.recv().map_err(|_| lost())?;
            let added = sums.iter().zip(&other).map(|(sum, other)| sum + other);
            sums = added.collect::<candle_core::Result<_>>()?;
        }
        for link in &self.links {
            link.send.send(sums.clone()).map_err(|_| lost())?;
        }
        Ok(sums)
    }
}

/// Runs a task in each rank of a world, and returns how each ended with the weights it has.
fn together(tasks: &[Line], plan: &Plan) -> Vec<(trainer::Result<Outcome>, Vec<u32>)> {
    std::thread::scope(|scope| {
        let ranks = Threads::new(tasks.len());
        let one = |task: &Line, ranks: &Threads, plan: Plan| {
            let run = Run::new(task, plan, &no_time, false)?;
            run.among(ranks).finish(|_| {})
        };
        let running = tasks.iter().zip(ranks).map(|(task, ranks)| {
            let plan = plan.clone();
            scope.spawn(move || {
                let outcome = one(task, &ranks, plan);
                (outcome, task.bits().unwrap_or_default())
            })
        });
        let running: Vec<_> = running.collect();
        let ended = running.into_iter().filter_map(|thread| thread.join().ok());
        ended.collect()
    })
}

#[test]
fn two_ranks_are_one_with_the_whole_batch() -> Checked {
    let folder = tempfile::tempdir()?;
    let on = |name: &str, accumulate| {
        let mut plan = plan(&folder.path().join(name));
        plan.optimizer.accumulate = accumulate;
        plan.saving.evaluate_steps = 20;
        plan
    };
    let alone = Line::new()?;
    let expected = finish(&alone, on("alone", 2), false)?;
    let ended = together(&[Line::new()?, Line::new()?], &on("two", 2));
    assert_eq!(ended.len(), 2);
    for (outcome, bits) in ended {
        // Two numbers have one sum, so not even the last bit differs.
        assert_eq!(outcome?, expected);
        assert_eq!(bits, alone.bits()?);
    }
    let without_parts = |out: &str| -> Result<_, Box<dyn Error>> {
        let mut lines = log(&folder.path().join(out))?;
        lines
            .iter_mut()
            .filter_map(|line| line.as_object_mut())
            .for_each(|line| {
                line.remove("parts");
            });
        Ok(lines)
    };
    assert_eq!(without_parts("alone")?, without_parts("two")?);
    let four = (0..4).map(|_| Line::new()).collect::<Result<Vec<_>, _>>()?;
    let whole = Line::new()?;
    finish(&whole, on("whole", 4), false)?;
    for (outcome, bits) in together(&four, &on("four", 4)) {
        assert_eq!(outcome?.steps, 60);
        for (one, other) in bits.into_iter().zip(whole.bits()?) {
            let (one, other) = (f32::from_bits(one), f32::from_bits(other));
            assert!((one - other).abs() < 1e-4, "{one} {other}");
        }
    }
    Ok(())
}

#[test]
fn a_lost_rank_ends_the_others() -> Checked {
    let folder = tempfile::tempdir()?;
    let mut plan = plan(folder.path());
    plan.optimizer.accumulate = 2;
    plan.saving.spike_factor = 0.0;
    // The second rank's third batch overflows.
    let whole = Line::new()?;
    let broken = Line {
        weight: Var::from_tensor(&(whole.weight.as_tensor() * 1e30)?)?,
        ..Line::new()?
    };
    let said: Vec<String> = together(&[whole, broken], &plan)
        .into_iter()
        .map(|(ended, _)| message(ended))
        .collect();
    assert!(said[0].contains("a rank is lost"), "{said:?}");
    assert!(said[1].contains("the loss is inf"), "{said:?}");
    plan.optimizer.accumulate = 3;
    plan.out = folder.path().join("odd");
    let said = message(together(&[Line::new()?, Line::new()?], &plan).remove(0).0);
    assert!(said.contains("optimizer.accumulate is 3"), "{said}");
    Ok(())
}

/// Set for a process that trains and is killed, or finds the disk full: the folder it trains in.
const CHILD: &str = "CLOZE_TRAINING_CHILD";

/// Set when it writes no log on its way.
const QUIET: &str = "CLOZE_TRAINING_QUIET";

/// The other process: this program once more, for this one test.
#[test]
fn child() -> Checked {
    let Ok(out) = std::env::var(CHILD) else {
        return Ok(());
    };
    let task = Line {
        sleep: Duration::from_millis(1),
        ..Line::new()?
    };
    let mut plan = plan(Path::new(&out));
    if std::env::var(QUIET).is_ok() {
        plan.saving.log_steps = 60;
    }
    let ended = finish(&task, plan, true);
    assert!(ended.is_ok(), "{}", message(ended));
    Ok(())
}

fn child_command(shell: Option<&str>, out: &Path) -> Result<Command, std::io::Error> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(if shell.is_some() {
        "sh".as_ref()
    } else {
        program.as_os_str()
    });
    if let Some(script) = shell {
        command.arg("-c").arg(script).arg(&program);
    }
    command.args(["--exact", "child"]).env(CHILD, out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

#[test]
fn a_run_that_is_killed_again_and_again_has_the_numbers_of_one_that_is_not() -> Checked {
    let folder = tempfile::tempdir()?;
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    finish(&Line::new()?, plan(&whole), false)?;
    let mut random = random::stream(5, "kills", 0);
    let (mut kills, mut trials) = (0, 0);
    loop {
        let mut child = child_command(None, &killed)?.spawn()?;
        // Alive until it has begun, so that each gets somewhere now and then, and then for a random time.
        let deadline = Instant::now() + Duration::from_millis(random.random_range(5..70));
        let ended = loop {
            if let Some(status) = child.try_wait()? {
                break Some(status);
            }
            if Instant::now() >= deadline && trials < 200 {
                child.kill()?;
                child.wait()?;
                kills += 1;
                break None;
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        trials += 1;
        if let Some(status) = ended {
            assert!(status.success(), "{:?}", child.wait_with_output()?);
            break;
        }
    }
    assert!(kills > 0);
    assert_eq!(log(&whole)?, log(&killed)?);
    assert_eq!(
        std::fs::read(whole.join("weight.npy"))?,
        std::fs::read(killed.join("weight.npy"))?
    );
    Ok(())
}

#[test]
#[cfg(unix)]
fn a_full_disk_leaves_the_last_checkpoint_and_says_so() -> Checked {
    let folder = tempfile::tempdir()?;
    let (whole, full) = (folder.path().join("whole"), folder.path().join("full"));
    finish(&Line::new()?, plan(&whole), false)?;
    let cut = AtomicUsize::new(0);
    let stop = || cut.fetch_add(1, Ordering::Relaxed) >= 3;
    Run::new(&Line::new()?, plan(&full), &no_time, false)?
        .interrupted_by(&stop)
        .finish(|_| {})?;
    // From here on no file may grow beyond 512 bytes, and the checkpoint of step 7 does not fit.
    let tight = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let output = child_command(Some(tight), &full)?.env(QUIET, "yes").output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success());
    assert!(
        said.contains("step-0000000007.safetensors could not be written"),
        "{said}"
    );
    assert!(said.contains("step-0000000003.json is whole"), "{said}");
    let resumed = Line::new()?;
    let outcome = finish(&resumed, plan(&full), true)?;
    assert_eq!(outcome.steps, 60);
    assert_eq!(
        std::fs::read(whole.join("weight.npy"))?,
        std::fs::read(full.join("weight.npy"))?
    );
    Ok(())
}
