//! The queue before a model: batches, bounds, failures, the end.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use infer::{Answer, Embed, InferError, Role, Scheduler, SchedulerSettings, Waiting};

/// A word is a token, and a vector holds the number of words. It waits for a permit before each batch, so that
/// tests decide what gathers meanwhile; it fails on `error` and panics on `panic`.
struct Slow {
    permits: Mutex<Receiver<()>>,
    started: Mutex<Sender<()>>,
    calls: Mutex<Vec<(Role, Vec<String>)>>,
}

impl Embed for Slow {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let call = texts.iter().map(|&text| text.to_owned()).collect();
        self.calls.lock().unwrap().push((role, call));
        self.started.lock().unwrap().send(()).unwrap();
        self.permits.lock().unwrap().recv().unwrap();
        if texts.contains(&"panic") {
            panic!("as told");
        }
        if texts.contains(&"error") {
            return Err(InferError::Stopped);
        }
        Ok(texts
            .iter()
            .map(|text| vec![text.split(' ').count() as f32])
            .collect())
    }

    fn dimension(&self) -> usize {
        1
    }

    fn fingerprint(&self) -> &str {
        "slow"
    }

    fn tokens_max(&self) -> usize {
        1000
    }

    fn chunk(&self, text: &str, _: usize, _: usize) -> Result<Vec<Range<usize>>, InferError> {
        Ok(std::iter::once(0..text.len()).collect())
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        Ok(text.split(' ').count())
    }
}

struct Bench {
    scheduler: Scheduler,
    model: Arc<Slow>,
    permit: Sender<()>,
    started: Receiver<()>,
}

type Outcome = Receiver<Result<Vec<Vec<f32>>, InferError>>;

impl Bench {
    fn new(requests: usize, tokens: usize, batch: usize) -> Self {
        let ((permit, permits), (start, started)) = (channel(), channel());
        let model = Arc::new(Slow {
            permits: Mutex::new(permits),
            started: Mutex::new(start),
            calls: Mutex::default(),
        });
        let settings = SchedulerSettings {
            queue_requests_max: requests,
            queue_tokens_max: tokens,
            batch_tokens_max: batch,
        };
        let scheduler = Scheduler::start(model.clone(), settings).unwrap();
        Self {
            scheduler,
            model,
            permit,
            started,
        }
    }

    fn submit(&self, texts: &[&str], role: Role) -> Result<Outcome, InferError> {
        let (sender, receiver) = channel();
        let answer: Answer = Box::new(move |answer| sender.send(answer).unwrap());
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        self.scheduler.submit(texts, role, answer)?;
        Ok(receiver)
    }

    /// Occupies the model with a first request, so that the next ones wait in the queue.
    fn occupy(&self) -> Outcome {
        let first = self.submit(&["first"], Role::Query).unwrap();
        self.started.recv().unwrap();
        first
    }

    fn calls(&self) -> Vec<(Role, Vec<String>)> {
        self.model.calls.lock().unwrap().clone()
    }
}

#[test]
fn what_waits_together_is_embedded_together_and_answered_apart() {
    let bench = Bench::new(10, 1000, 100);
    let first = bench.occupy();
    let a = bench.submit(&["one", "one two"], Role::Passage).unwrap();
    let b = bench.submit(&[], Role::Passage).unwrap();
    let c = bench.submit(&["one two three"], Role::Passage).unwrap();
    let q = bench.submit(&["query"], Role::Query).unwrap();
    assert_eq!(
        bench.scheduler.waiting(),
        Waiting {
            requests: 4,
            tokens: 3 + 4 + 5 + 3
        }
    );
    (0..3).for_each(|_| bench.permit.send(()).unwrap());
    assert_eq!(first.recv().unwrap(), Ok(vec![vec![1.0]]));
    assert_eq!(a.recv().unwrap(), Ok(vec![vec![1.0], vec![2.0]]));
    assert_eq!(b.recv().unwrap(), Ok(vec![]));
    assert_eq!(c.recv().unwrap(), Ok(vec![vec![3.0]]));
    assert_eq!(q.recv().unwrap(), Ok(vec![vec![1.0]]));
    let calls = bench.calls();
    assert_eq!(calls.len(), 3, "one call for each role");
    assert_eq!(calls[2].1, ["one", "one two", "one two three"]);
    assert_eq!(bench.scheduler.waiting(), Waiting::default());
}

#[test]
fn a_batch_takes_no_more_tokens_than_it_may() {
    let bench = Bench::new(10, 1000, 8);
    let first = bench.occupy();
    let others: Vec<Outcome> = (0..5)
        .map(|_| bench.submit(&["one two"], Role::Passage).unwrap())
        .collect();
    (0..4).for_each(|_| bench.permit.send(()).unwrap());
    assert!(first.recv().unwrap().is_ok());
    assert!(others.iter().all(|other| other.recv().unwrap().is_ok()));
    let sizes: Vec<usize> = bench.calls().iter().map(|(_, texts)| texts.len()).collect();
    assert_eq!(sizes, [1, 2, 2, 1]);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let bench = Bench::new(2, 20, 100);
    let first = bench.occupy();
    let a = bench.submit(&["1 2 3 4 5 6 7 8"], Role::Passage).unwrap();
    let full = InferError::QueueFull {
        unit: "tokens",
        waiting: 10,
        wanted: 11,
        limit: 20,
    };
    assert_eq!(
        bench.submit(&["1 2 3 4 5 6 7 8 9"], Role::Passage).unwrap_err(),
        full
    );
    let b = bench.submit(&["1 2 3 4 5 6 7 8"], Role::Passage).unwrap();
    let full = InferError::QueueFull {
        unit: "requests",
        waiting: 2,
        wanted: 1,
        limit: 2,
    };
    assert_eq!(bench.submit(&[], Role::Passage).unwrap_err(), full);
    let never = bench.submit(&["1 2 3 4 5 6 7 8 9", "1 2 3 4 5 6 7 8"], Role::Passage);
    assert!(matches!(never, Err(InferError::Setting { value: 21, .. })));
    (0..2).for_each(|_| bench.permit.send(()).unwrap());
    for answer in [first, a, b] {
        assert!(answer.recv().unwrap().is_ok(), "what was accepted is answered");
    }
}

#[test]
fn a_failing_batch_answers_everyone_and_the_next_one_works() {
    for (bad, said) in [("error", "shutting down"), ("panic", "panicked: as told")] {
        let bench = Bench::new(10, 1000, 100);
        let first = bench.occupy();
        let a = bench.submit(&["fine"], Role::Passage).unwrap();
        let b = bench.submit(&[bad], Role::Passage).unwrap();
        (0..2).for_each(|_| bench.permit.send(()).unwrap());
        assert!(first.recv().unwrap().is_ok());
        for answer in [a, b] {
            let error = answer.recv().unwrap().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        bench.permit.send(()).unwrap();
        assert_eq!(bench.scheduler.embed(&["a b"], Role::Query), Ok(vec![vec![2.0]]));
    }
}

#[test]
fn a_caller_that_is_gone_does_not_harm_the_others() {
    let bench = Bench::new(10, 1000, 100);
    let first = bench.occupy();
    let gone = bench.submit(&["gone"], Role::Passage).unwrap();
    drop(gone); // Its answer's `unwrap` panics on the scheduler's thread.
    let here = bench.submit(&["here"], Role::Passage).unwrap();
    (0..2).for_each(|_| bench.permit.send(()).unwrap());
    assert!(first.recv().unwrap().is_ok() && here.recv().unwrap().is_ok());
}

#[test]
fn shutdown_finishes_what_was_accepted_and_accepts_nothing_more() {
    let bench = Bench::new(10, 1000, 100);
    let first = bench.occupy();
    let waiting = bench.submit(&["waiting"], Role::Passage).unwrap();
    (0..2).for_each(|_| bench.permit.send(()).unwrap());
    bench.scheduler.shutdown();
    assert!(first.try_recv().unwrap().is_ok() && waiting.try_recv().unwrap().is_ok());
    assert_eq!(
        bench.submit(&["late"], Role::Query).unwrap_err(),
        InferError::Stopped
    );
    assert_eq!(
        bench.scheduler.embed(&["late"], Role::Query),
        Err(InferError::Stopped)
    );
    bench.scheduler.shutdown();
}

#[test]
fn bounds_of_zero_are_refused() {
    let bench = Bench::new(1, 1, 1);
    let settings = SchedulerSettings {
        queue_requests_max: 0,
        ..SchedulerSettings::default()
    };
    let refused = Scheduler::start(bench.model.clone(), settings).err();
    assert!(matches!(
        refused,
        Some(InferError::Setting {
            field: "queue_requests_max",
            value: 0,
            ..
        })
    ));
}
