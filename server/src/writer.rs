//! One thread that changes the index. What waits when it is free becomes one commit, so that many small writes
//! cost as much as one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use corpus::{Commit, DocumentId, PreparedDocument, StoreError, WriteStore};
use tokio::sync::oneshot;

use crate::problem::{Kind, Problem};
use crate::store::Store;

/// Most writes that become one commit.
const GROUP_MAX: usize = 256;
/// Without a change for this long, other processes get their turn to write.
const IDLE: Duration = Duration::from_secs(1);
/// And after this long, with changes or without: a merge may wait.
const HELD_MAX: Duration = Duration::from_secs(10);

/// What is to be changed.
pub(crate) enum Change {
    Put(Vec<PreparedDocument>),
    Delete(DocumentId),
}

/// What came of a change: one entry for each document of a [`Change::Put`], one for a [`Change::Delete`].
pub(crate) type Outcome = Vec<Result<(), Problem>>;

/// What came of a change, and the commit that shows it; no commit when nothing was changed.
pub(crate) type Written = (Outcome, Option<Commit>);

/// The right to write, while it is held.
type Held = Option<Box<dyn WriteStore>>;

struct Job {
    change: Change,
    reply: oneshot::Sender<Result<Written, Problem>>,
}

/// The way to the writing thread.
pub(crate) struct Writer {
    jobs: Mutex<Option<SyncSender<Job>>>,
    ended: Mutex<Receiver<()>>,
}

impl Writer {
    /// Starts the thread; at most `waiting_max` changes wait for it.
    pub(crate) fn start(store: Arc<dyn Store>, waiting_max: usize) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(waiting_max);
        let (end, ended) = channel();
        std::thread::Builder::new()
            .name("writer".to_owned())
            .spawn(move || {
                work(&*store, &waiting);
                // Nobody listens when nobody waits for the end.
                let _ = end.send(());
            })?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            ended: Mutex::new(ended),
        })
    }

    /// Hands a change over and waits until it is committed. The change takes place even when the caller stops
    /// waiting.
    pub(crate) async fn write(&self, change: Change) -> Result<Written, Problem> {
        let (reply, answer) = oneshot::channel();
        self.send(Job { change, reply })?;
        let broken = |_| {
            Err(Problem::new(
                Kind::Internal,
                "writing broke off; the index is as it was",
            ))
        };
        answer.await.unwrap_or_else(broken)
    }

    fn send(&self, job: Job) -> Result<(), Problem> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(jobs) = jobs.as_ref() else {
            return Err(Problem::new(Kind::Unavailable, "the server is shutting down"));
        };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(_) => Problem::new(Kind::Busy, "too many writes wait already"),
            TrySendError::Disconnected(_) => Problem::new(Kind::Internal, "the writing thread has ended"),
        })
    }

    /// Takes no more changes and waits until those that were taken are committed; false when that takes longer.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        ended.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
    }
}

fn work(store: &dyn Store, jobs: &Receiver<Job>) {
    let mut writer = None;
    let mut held_since = Instant::now();
    loop {
        if held_since.elapsed() > HELD_MAX {
            writer = None;
        }
        if writer.is_none() {
            held_since = Instant::now();
        }
        // The writer is kept while changes keep coming, and then given up for other processes.
        let first = match writer {
            None => jobs.recv().map_err(RecvTimeoutError::from),
            Some(_) => jobs.recv_timeout(IDLE),
        };
        match first {
            Ok(first) => writer = work_group(store, writer, first, jobs),
            Err(RecvTimeoutError::Timeout) => writer = None,
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Commits a job together with those that wait behind it. Gives the writer back unless something went wrong with
/// it: then nothing of these changes may be left in it.
fn work_group(store: &dyn Store, writer: Held, first: Job, jobs: &Receiver<Job>) -> Held {
    let group: Vec<Job> = std::iter::once(first)
        .chain(jobs.try_iter().take(GROUP_MAX - 1))
        .collect();
    let (changes, replies): (Vec<_>, Vec<_>) = group.into_iter().map(|job| (job.change, job.reply)).unzip();
    let (answers, writer) = match catch_unwind(AssertUnwindSafe(|| commit(store, writer, changes))) {
        Ok(Ok((written, writer))) => (written.into_iter().map(Ok).collect(), Some(writer)),
        Ok(Err(error)) => (vec![Err(Problem::from(error)); replies.len()], None),
        // Dropping the replies tells everyone who waits.
        Err(_) => (Vec::new(), None),
    };
    for (reply, answer) in replies.into_iter().zip(answers) {
        // A client that is gone wants no answer.
        let _ = reply.send(answer);
    }
    writer
}

/// Makes all changes and commits them together.
fn commit(
    store: &dyn Store,
    writer: Held,
    changes: Vec<Change>,
) -> Result<(Vec<Written>, Box<dyn WriteStore>), StoreError> {
    let mut writer = writer.map_or_else(|| store.writer(), Ok)?;
    let outcomes = changes.into_iter().map(|change| apply(&mut *writer, change));
    let outcomes = outcomes.collect::<Result<Vec<Outcome>, StoreError>>()?;
    let changed = outcomes.iter().flatten().any(Result::is_ok);
    let commit = if changed { Some(writer.commit()?) } else { None };
    let written = outcomes.into_iter().map(|outcome| (outcome, commit));
    Ok((written.collect(), writer))
}

/// What is wrong with one document is its own outcome; what is wrong with the index ends the group.
fn apply(writer: &mut dyn WriteStore, change: Change) -> Result<Outcome, StoreError> {
    match change {
        Change::Put(documents) => documents
            .into_iter()
            .map(|document| add(writer, document))
            .collect(),
        Change::Delete(id) => {
            let found = writer.delete(&id)?;
            Ok(vec![if found { Ok(()) } else { Err(no_document(&id)) }])
        }
    }
}

fn add(writer: &mut dyn WriteStore, document: PreparedDocument) -> Result<Result<(), Problem>, StoreError> {
    match writer.add(vec![document]) {
        Ok(()) => Ok(Ok(())),
        Err(
            error @ (StoreError::Dimension { .. }
            | StoreError::NotFinite { .. }
            | StoreError::Span { .. }
            | StoreError::NoText(_)),
        ) => Ok(Err(error.into())),
        Err(error) => Err(error),
    }
}

/// There is no document of this name.
pub(crate) fn no_document(id: &DocumentId) -> Problem {
    Problem::new(Kind::NotFound, format!("there is no document {:?}", id.as_str())).with(
        "id",
        id.as_str(),
        "",
    )
}
