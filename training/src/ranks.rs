//! One run on several GPUs: a process for each, which this program starts and watches.

use std::env;
use std::num::NonZeroUsize;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use launch::{Exit, Interrupt};
use trainer::{Nccl, Task};

/// Tells a process its place: rank, number of ranks and the meeting, with spaces between.
const PLACE: &str = "CLOZE_RANK";
/// Which GPUs a process sees, as CUDA has it.
const VISIBLE: &str = "CUDA_VISIBLE_DEVICES";
const PAUSE: Duration = Duration::from_millis(100);

/// The number of this process among the ranks of a run; none when it is no rank.
pub(crate) fn rank() -> Option<usize> {
    let place = env::var(PLACE).ok()?;
    place.split(' ').next()?.parse().ok()
}

/// Meets the other ranks; none when this process is no rank.
pub(crate) fn join(task: &impl Task) -> Result<Option<Nccl>> {
    let Ok(place) = env::var(PLACE) else {
        return Ok(None);
    };
    let not_known = || format!("{PLACE} is {place:?}; it is set by `cloze train --gpus`");
    let [rank, world, meeting] = place.split(' ').collect::<Vec<_>>()[..] else {
        bail!(not_known());
    };
    let (rank, world) = (
        rank.parse().with_context(not_known)?,
        world.parse().with_context(not_known)?,
    );
    Ok(Some(Nccl::join(meeting, rank, world, task)?))
}

/// Runs this program once for each GPU with the same arguments, and ends as the first of them. When one fails the
/// others are ended, because they would wait for it.
pub(crate) fn run(gpus: NonZeroUsize) -> Result<Exit> {
    let meeting = Nccl::meeting()?;
    let interrupt = Interrupt::on_ctrl_c();
    let visible = env::var(VISIBLE).ok();
    let visible: Vec<String> = match &visible {
        Some(named) => named.split(',').map(str::to_owned).collect(),
        None => (0..gpus.get()).map(|gpu| gpu.to_string()).collect(),
    };
    if visible.len() < gpus.get() {
        bail!(
            "--gpus is {gpus}, accepted: up to {}, the GPUs in {VISIBLE}",
            visible.len()
        );
    }
    let mut ranks = Ranks(Vec::new());
    for (rank, gpu) in visible.iter().enumerate().take(gpus.get()) {
        let mut command = Command::new(env::current_exe().context("finding this program")?);
        command.args(env::args_os().skip(1));
        command
            .env(PLACE, format!("{rank} {gpus} {meeting}"))
            .env(VISIBLE, gpu);
        if rank > 0 {
            command.stdout(Stdio::null());
        }
        ranks.0.push(command.spawn().context("starting a rank")?);
    }
    ranks.wait(&interrupt)
}

/// Running ranks; those that still run are ended with it.
struct Ranks(Vec<Child>);

impl Ranks {
    fn wait(mut self, interrupt: &Interrupt) -> Result<Exit> {
        loop {
            let mut running = 0;
            for (rank, child) in self.0.iter_mut().enumerate() {
                match child.try_wait().context("waiting for a rank")? {
                    None => running += 1,
                    Some(status) if status.success() => {}
                    // Ctrl-C goes to all of them, and each stops after the same step.
                    Some(_) if interrupt.is_raised() => {}
                    Some(status) => bail!("rank {rank} ended: {status}"),
                }
            }
            if running == 0 {
                return Ok(match interrupt.is_raised() {
                    true => Exit::Interrupted,
                    false => Exit::Success,
                });
            }
            thread::sleep(PAUSE);
        }
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended already cannot be killed.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
