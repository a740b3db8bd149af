//! What every route works with: the index, the models, the queues and the counters.

use std::sync::Arc;
use std::time::Duration;

use corpus::{ReadStore, StoreError, StoreInfo};
use infer::{Embed, Read, Rerank, Scheduler, SchedulerSettings};
use search::ingest::IngestSettings;
use search::{MonotonicClock, Searcher};

use crate::gate::Gate;
use crate::limits::Limits;
use crate::merger::Merger;
use crate::metrics::Metrics;
use crate::patient::{PORTION, Patient};
use crate::problem::{Kind, Problem};
use crate::recall::RecallSampler;
use crate::store::Store;
use crate::writer::{Change, Writer, Written};

/// A cross-encoder and the name by which requests and answers call it.
pub struct NamedReranker {
    /// Its name.
    pub name: String,
    /// The model.
    pub model: Arc<dyn Rerank>,
}

/// A reader and the name by which answers call it.
pub struct NamedReader {
    /// Its name.
    pub name: String,
    /// The model.
    pub model: Arc<dyn Read>,
}

/// Refuses an index whose vectors another model made.
pub(crate) fn check_model(index: &StoreInfo, model: &dyn Embed) -> Result<(), StoreError> {
    if index.fingerprint == model.fingerprint() {
        return Ok(());
    }
    let (expected, found) = (index.fingerprint.clone(), model.fingerprint().to_owned());
    Err(StoreError::OtherModel { expected, found })
}

/// A queue that takes a portion of the longest texts, so that every request has a chance.
fn queue_settings(model: &dyn Embed) -> SchedulerSettings {
    let standard = SchedulerSettings::default();
    let queue_tokens_max = standard.queue_tokens_max.max(2 * PORTION * model.tokens_max());
    SchedulerSettings {
        queue_tokens_max,
        ..standard
    }
}

/// What a server is made of.
pub struct Parts {
    /// The index.
    pub store: Arc<dyn Store>,
    /// The model that made the index's vectors.
    pub embed: Arc<dyn Embed>,
    /// Its name in requests and answers.
    pub model: String,
    /// The cross-encoder, if there is one.
    pub reranker: Option<NamedReranker>,
    /// The reader, if there is one.
    pub reader: Option<NamedReader>,
    /// How documents are cut and embedded: as they were when the index was made.
    pub ingest: IngestSettings,
    /// Refuse every write.
    pub read_only: bool,
    /// The bounds of everything.
    pub limits: Limits,
}

/// The state of the router.
pub struct App {
    pub(crate) store: Arc<dyn Store>,
    /// Concurrent requests go through the model together.
    pub(crate) embed: Scheduler,
    pub(crate) model: String,
    pub(crate) reranker: Option<NamedReranker>,
    pub(crate) reader: Option<NamedReader>,
    pub(crate) ingest: IngestSettings,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) recall: RecallSampler,
    pub(crate) reads: Gate,
    pub(crate) writes: Gate,
    pub(crate) bulks: Gate,
    writer: Option<Writer>,
    merger: Option<Merger>,
    clock: MonotonicClock,
}

impl App {
    /// Starts the thread that runs the model and, unless the server only reads, those that write and merge.
    ///
    /// # Errors
    /// When the index was made by another model or cut in a way that does not fit it, or when a thread cannot be
    /// started.
    pub fn new(parts: Parts) -> anyhow::Result<Self> {
        let Parts {
            store,
            embed,
            model,
            reranker,
            reader,
            ingest,
            read_only,
            limits,
        } = parts;
        ingest.validate(&*embed)?;
        check_model(&store.snapshot()?.info(), &*embed)?;
        let writer = match read_only {
            true => None,
            false => Some(Writer::start(Arc::clone(&store), limits.writes_waiting_max)?),
        };
        let merger = match read_only {
            true => None,
            false => Some(Merger::start(Arc::clone(&store), limits.merging.clone())?),
        };
        Ok(Self {
            reads: Gate::new("read", limits.reads_max, limits.reads_waiting_max),
            writes: Gate::new("write", limits.writes_max, limits.writes_waiting_max),
            bulks: Gate::new("bulk", limits.bulks_max, limits.bulks_waiting_max),
            metrics: Metrics::new(),
            recall: RecallSampler::new(),
            clock: MonotonicClock::start(),
            store,
            embed: Scheduler::start(Arc::clone(&embed), queue_settings(&*embed))?,
            model,
            reranker,
            reader,
            ingest,
            limits,
            writer,
            merger,
        })
    }

    /// A search over one snapshot.
    pub(crate) fn searcher<'a>(&'a self, store: &'a dyn ReadStore) -> Searcher<'a> {
        Searcher {
            store,
            embed: Some(&self.embed),
            rerank: self.reranker.as_ref().map(|reranker| &*reranker.model),
            read: self.reader.as_ref().map(|reader| &*reader.model),
            clock: &self.clock,
        }
    }

    /// The model for many texts: it waits where a single text would be refused.
    pub(crate) fn patient(&self) -> Patient<'_> {
        Patient(&self.embed)
    }

    pub(crate) fn read_only(&self) -> bool {
        self.writer.is_none()
    }

    fn writer(&self) -> Result<&Writer, Problem> {
        let refused = || Problem::new(Kind::ReadOnly, "the server was started with --read-only");
        self.writer.as_ref().ok_or_else(refused)
    }

    /// Whether writes are taken at all; asked before any work is done for one.
    pub(crate) fn check_writable(&self) -> Result<(), Problem> {
        self.writer().map(drop)
    }

    /// Makes a change and waits for its commit.
    pub(crate) async fn write(&self, change: Change) -> Result<Written, Problem> {
        self.writer()?.write(change).await
    }

    /// Commits what was accepted and takes no more; false when that takes longer than `timeout`.
    pub(crate) fn close(&self, timeout: Duration) -> bool {
        if let Some(merger) = &self.merger {
            merger.stop();
        }
        self.writer.as_ref().is_none_or(|writer| writer.close(timeout))
    }
}
