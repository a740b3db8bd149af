//! Requests of many callers, embedded together: a bounded queue before one model.
//!
//! A request is refused at once when the queue is full, so that no caller waits for an answer that would come too
//! late. One thread takes what is waiting, in order, as far as it fits into a batch; while it computes, the next
//! batch gathers by itself.

use std::collections::VecDeque;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::{Embed, InferError, Role};

/// Takes the vectors of one request, or why there are none. It is called on the scheduler's thread, so it should
/// only hand the answer on.
pub type Answer = Box<dyn FnOnce(Result<Vec<Vec<f32>>, InferError>) + Send>;

/// Bounds of the queue and of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchedulerSettings {
    /// Requests that may wait.
    pub queue_requests_max: usize,
    /// Tokens that may wait, over all requests. A request of more than this is never accepted.
    pub queue_tokens_max: usize,
    /// Tokens taken out of the queue together. Fewer give shorter waits, more a better use of the machine.
    pub batch_tokens_max: usize,
}

impl Default for SchedulerSettings {
    fn default() -> Self {
        Self {
            queue_requests_max: 256,
            queue_tokens_max: 65_536,
            batch_tokens_max: 8192,
        }
    }
}

/// What waits in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Waiting {
    /// Requests.
    pub requests: usize,
    /// Their tokens.
    pub tokens: usize,
}

/// Stands before a model and batches the requests of many threads. [`Embed::embed`] of it waits for the answer.
pub struct Scheduler {
    model: Arc<dyn Embed>,
    settings: SchedulerSettings,
    queue: Arc<Queue>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

struct Request {
    texts: Vec<String>,
    role: Role,
    tokens: usize,
    answer: Answer,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    requests: VecDeque<Request>,
    tokens: usize,
    is_closed: bool,
}

impl Scheduler {
    /// Starts the thread that runs the model.
    ///
    /// # Errors
    /// A bound of 0, or a system that starts no more threads.
    pub fn start(model: Arc<dyn Embed>, settings: SchedulerSettings) -> Result<Self, InferError> {
        let queue = Arc::new(Queue::default());
        let (worker_queue, worker_model) = (Arc::clone(&queue), Arc::clone(&model));
        let bounds = [
            ("queue_requests_max", settings.queue_requests_max),
            ("queue_tokens_max", settings.queue_tokens_max),
            ("batch_tokens_max", settings.batch_tokens_max),
        ];
        if let Some((field, value)) = bounds.into_iter().find(|(_, bound)| *bound == 0) {
            let accepted = "at least 1".to_owned();
            return Err(InferError::Setting {
                field,
                value,
                accepted,
            });
        }
        let worker = std::thread::Builder::new()
            .name("infer-queue".to_owned())
            .spawn(move || {
                while let Some(batch) = worker_queue.next_batch(settings.batch_tokens_max) {
                    run(&*worker_model, batch);
                }
            })
            .map_err(|error| InferError::Run {
                model: "scheduler".to_owned(),
                reason: error.to_string(),
            })?;
        Ok(Self {
            model,
            settings,
            queue,
            worker: Mutex::new(Some(worker)),
        })
    }

    /// Puts a request at the end of the queue; its answer comes through `answer`, exactly once, whatever happens
    /// to the batch.
    ///
    /// # Errors
    /// Without calling `answer`: [`InferError::QueueFull`], [`InferError::Stopped`], [`InferError::Setting`] for
    /// a request that no empty queue could take, [`InferError::Tokenize`].
    pub fn submit(&self, texts: Vec<String>, role: Role, answer: Answer) -> Result<(), InferError> {
        let tokens = self.tokens_of(&texts)?;
        if tokens > self.settings.queue_tokens_max {
            return Err(InferError::Setting {
                field: "tokens of one request",
                value: tokens,
                accepted: format!("up to {}", self.settings.queue_tokens_max),
            });
        }
        let mut state = self.queue.lock();
        if state.is_closed {
            return Err(InferError::Stopped);
        }
        self.admit(&state, tokens)?;
        state.tokens += tokens;
        state.requests.push_back(Request {
            texts,
            role,
            tokens,
            answer,
        });
        drop(state);
        self.queue.changed.notify_all();
        Ok(())
    }

    /// What waits at the moment; what the model works on does not count.
    pub fn waiting(&self) -> Waiting {
        let state = self.queue.lock();
        Waiting {
            requests: state.requests.len(),
            tokens: state.tokens,
        }
    }

    /// Accepts nothing more, answers everything that was accepted, and returns after the last answer. Further
    /// calls do nothing.
    pub fn shutdown(&self) {
        self.queue.lock().is_closed = true;
        self.queue.changed.notify_all();
        let worker = self.worker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(worker) = worker {
            // The worker catches every panic, so there is nothing to learn from how it ended.
            let _ = worker.join();
        }
    }

    /// Tokens that the model will see, special ones counted as two for each text.
    fn tokens_of(&self, texts: &[String]) -> Result<usize, InferError> {
        let tokens = |text: &String| Ok((self.model.count_tokens(text)? + 2).min(self.model.tokens_max()));
        texts.iter().map(tokens).sum()
    }

    fn admit(&self, state: &State, tokens: usize) -> Result<(), InferError> {
        let bounds = [
            (
                "requests",
                state.requests.len(),
                1,
                self.settings.queue_requests_max,
            ),
            ("tokens", state.tokens, tokens, self.settings.queue_tokens_max),
        ];
        let full = bounds
            .into_iter()
            .find(|(_, waiting, wanted, limit)| waiting + wanted > *limit);
        match full {
            None => Ok(()),
            Some((unit, waiting, wanted, limit)) => Err(InferError::QueueFull {
                unit,
                waiting,
                wanted,
                limit,
            }),
        }
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.shutdown();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the next batch; none when the queue is closed and empty.
    fn next_batch(&self, batch_tokens_max: usize) -> Option<Vec<Request>> {
        let has_nothing = |state: &mut State| state.requests.is_empty() && !state.is_closed;
        let mut state = self
            .changed
            .wait_while(self.lock(), has_nothing)
            .unwrap_or_else(PoisonError::into_inner);
        if state.requests.is_empty() {
            return None;
        }
        let sizes = state.requests.iter().map(|request| request.tokens);
        let taken = plan_next(sizes, batch_tokens_max);
        let batch: Vec<Request> = state.requests.drain(..taken).collect();
        state.tokens -= batch.iter().map(|request| request.tokens).sum::<usize>();
        Some(batch)
    }
}

/// How many of the waiting requests, of these sizes in tokens, the next batch takes from the front: as many as
/// fit, at least one.
fn plan_next(waiting: impl Iterator<Item = usize>, batch_tokens_max: usize) -> usize {
    let sums = waiting.scan(0usize, |sum, tokens| {
        *sum = sum.saturating_add(tokens);
        Some(*sum)
    });
    sums.take_while(|&sum| sum <= batch_tokens_max).count().max(1)
}

/// Embeds the requests of a batch, one call for each role, and answers all of them.
fn run(model: &dyn Embed, batch: Vec<Request>) {
    let (queries, passages): (Vec<_>, Vec<_>) = batch.into_iter().partition(|one| one.role == Role::Query);
    for (role, requests) in [(Role::Query, queries), (Role::Passage, passages)] {
        if requests.is_empty() {
            continue;
        }
        let texts: Vec<&str> = requests
            .iter()
            .flat_map(|one| &one.texts)
            .map(String::as_str)
            .collect();
        let mut vectors = embed_all(model, &texts, role).map(Vec::into_iter);
        for request in requests {
            let own = match &mut vectors {
                Ok(vectors) => Ok(vectors.take(request.texts.len()).collect()),
                Err(error) => Err(error.clone()),
            };
            // A caller's mistake in taking the answer must not keep the others from theirs.
            let _ = catch_unwind(AssertUnwindSafe(|| (request.answer)(own)));
        }
    }
}

/// One vector for each text; a panic of the model becomes an error.
fn embed_all(model: &dyn Embed, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
    let failed = |reason: String| InferError::Run {
        model: model.fingerprint().to_owned(),
        reason,
    };
    match catch_unwind(AssertUnwindSafe(|| model.embed(texts, role))) {
        Ok(Ok(vectors)) if vectors.len() != texts.len() => Err(failed(format!(
            "{} vectors for {} texts",
            vectors.len(),
            texts.len()
        ))),
        Ok(answer) => answer,
        Err(panic) => {
            let said = panic.downcast_ref::<&str>().map(|said| (*said).to_owned());
            let said = said.or_else(|| panic.downcast_ref::<String>().cloned());
            Err(failed(format!("panicked: {}", said.unwrap_or_default())))
        }
    }
}

impl Embed for Scheduler {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let (sender, receiver) = mpsc::channel();
        let texts = texts.iter().map(|&text| text.to_owned()).collect();
        let answer = Box::new(move |answer| {
            // The receiver waits below, so it is there.
            let _ = sender.send(answer);
        });
        self.submit(texts, role, answer)?;
        receiver.recv().unwrap_or(Err(InferError::Stopped))
    }

    fn dimension(&self) -> usize {
        self.model.dimension()
    }

    fn fingerprint(&self) -> &str {
        self.model.fingerprint()
    }

    fn tokens_max(&self) -> usize {
        self.model.tokens_max()
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        self.model.chunk(text, tokens, overlap)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        self.model.count_tokens(text)
    }
}

#[cfg(test)]
mod tests {
    use super::plan_next;

    #[test]
    fn the_next_batch_takes_what_fits_from_the_front() {
        let next = |sizes: &[usize]| plan_next(sizes.iter().copied(), 10);
        assert_eq!(next(&[4, 4, 4]), 2);
        assert_eq!(next(&[5, 5]), 2);
        assert_eq!(next(&[11, 1]), 1);
        assert_eq!(next(&[4, 7, 1]), 1, "nobody overtakes");
    }
}
