//! Several ranks on one model.

use std::sync::mpsc::{Receiver, Sender, channel};

use trainer::AllReduce;

use super::*;

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
