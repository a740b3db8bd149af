//! The recall that searches really have: now and then one is answered again, by comparing with every vector.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use corpus::{NearestQuery, ReadStore};
use infer::{Embed, Role};
use search::{SearchError, SearchRequest};

/// Recall is taken over this many of the nearest passages.
const K: usize = 10;
/// Shortest time between two samples.
const PAUSE: Duration = Duration::from_secs(1);
/// A sample takes at most this part of one core's time.
const PART: u32 = 100;
/// Samples of which the mean is shown.
const SAMPLES: usize = 100;

/// Decides which searches are sampled, and keeps the latest results.
#[derive(Default)]
pub(crate) struct RecallSampler {
    /// None while a sample is taken.
    next: Mutex<Option<Instant>>,
    latest: Mutex<VecDeque<f64>>,
}

impl RecallSampler {
    pub(crate) fn new() -> Self {
        Self {
            next: Mutex::new(Some(Instant::now())),
            latest: Mutex::default(),
        }
    }

    /// Whether a search is to be sampled; whoever is told so calls [`RecallSampler::sample`].
    pub(crate) fn wants(&self, request: &SearchRequest) -> bool {
        let approximate = request.mode.is_dense() && !request.exact && request.recall < 1.0;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let due = approximate && next.is_some_and(|next| Instant::now() >= next);
        if due {
            *next = None;
        }
        due
    }

    /// Answers a search again, exactly; returns the mean recall@10 of the latest samples. Nothing when there is no
    /// passage to find.
    ///
    /// # Errors
    /// When model or store fail.
    pub(crate) fn sample(
        &self,
        store: &dyn ReadStore,
        embed: &dyn Embed,
        request: &SearchRequest,
    ) -> Result<Option<f64>, SearchError> {
        let started = Instant::now();
        let recall = recall(store, embed, request);
        *self.next.lock().unwrap_or_else(PoisonError::into_inner) =
            Some(Instant::now() + PAUSE.max(started.elapsed() * PART));
        let Some(recall) = recall? else { return Ok(None) };
        let mut latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        if latest.len() == SAMPLES {
            latest.pop_front();
        }
        latest.push_back(recall);
        Ok(Some(latest.iter().sum::<f64>() / latest.len() as f64))
    }
}

fn recall(
    store: &dyn ReadStore,
    embed: &dyn Embed,
    request: &SearchRequest,
) -> Result<Option<f64>, SearchError> {
    let vectors = embed.embed(&[&request.query], Role::Query)?;
    let Some(vector) = vectors.first() else {
        return Ok(None);
    };
    let nearest = |k, recall| {
        store.nearest(&NearestQuery {
            vector,
            k,
            filter: request.filter.as_ref(),
            recall,
        })
    };
    let truth = nearest(K, 1.0)?;
    let found = nearest(request.depth, request.recall)?;
    // Of passages with the score of the last any will do.
    let Some(last) = truth.last() else { return Ok(None) };
    let hits = found.iter().take(truth.len());
    let hits = hits.filter(|hit| hit.score >= last.score).count();
    Ok(Some(hits as f64 / truth.len() as f64))
}
