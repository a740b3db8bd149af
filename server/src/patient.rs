//! Many texts for a model that others use as well: in small portions, so that a single query need not wait for
//! all of them, and with patience when its queue is full.

use std::ops::Range;
use std::time::{Duration, Instant};

use infer::{Embed, InferError, Role};

/// Texts of one portion.
pub(crate) const PORTION: usize = 32;
/// How long one portion waits for a place in the queue before the request is refused.
const PATIENCE: Duration = Duration::from_secs(20);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(20);

/// A model that is given portion after portion. It blocks.
pub(crate) struct Patient<'a>(pub(crate) &'a dyn Embed);

impl Patient<'_> {
    fn portion(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.0.embed(texts, role) {
                Err(InferError::QueueFull { .. }) if Instant::now() < until => std::thread::sleep(PAUSE),
                done => return done,
            }
        }
    }
}

impl Embed for Patient<'_> {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        let mut vectors = Vec::with_capacity(texts.len());
        for portion in texts.chunks(PORTION) {
            vectors.extend(self.portion(portion, role)?);
        }
        Ok(vectors)
    }

    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    fn fingerprint(&self) -> &str {
        self.0.fingerprint()
    }

    fn tokens_max(&self) -> usize {
        self.0.tokens_max()
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        self.0.chunk(text, tokens, overlap)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        self.0.count_tokens(text)
    }
}
