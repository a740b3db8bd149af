//! How a hit came to its place.

use corpus::{ReadStore, StoreError};

use crate::fusion::{Fused, dense_weight, lexical_weight};
use crate::searcher::Candidate;
use crate::{
    DenseExplanation, Explanation, FusionExplanation, FusionPart, LexicalExplanation, Mode, SearchRequest,
};

/// One explanation for each candidate. Terms and cosine are also given for passages that only the other list
/// held.
pub(crate) fn explain(
    store: &dyn ReadStore,
    request: &SearchRequest,
    vector: Option<&[f32]>,
    candidates: &[&Candidate],
) -> Result<Vec<Explanation>, StoreError> {
    let passages: Vec<_> = candidates.iter().map(|one| one.fused.passage).collect();
    let cosines = match vector {
        Some(vector) => store
            .similarities(vector, &passages)?
            .into_iter()
            .map(Some)
            .collect(),
        None => vec![None; passages.len()],
    };
    let explain_one = |(candidate, cosine): (&&Candidate, Option<f32>)| {
        let fused = &candidate.fused;
        let lexical = match request.mode.is_lexical() {
            true => Some(lexical(store, request, fused)?),
            false => None,
        };
        let dense = cosine.map(|cosine| DenseExplanation {
            rank: fused.dense.and_then(|place| place.rank),
            cosine: fused.dense.map_or(cosine, |place| place.score),
        });
        Ok(Explanation {
            lexical,
            dense,
            feedback: candidate.feedback,
            fusion: (request.mode == Mode::Hybrid).then(|| fusion(request, candidate)),
            rerank: candidate.rerank,
        })
    };
    candidates.iter().zip(cosines).map(explain_one).collect()
}

fn lexical(
    store: &dyn ReadStore,
    request: &SearchRequest,
    fused: &Fused,
) -> Result<LexicalExplanation, StoreError> {
    let terms = store.explain_matching(&request.words(), fused.passage)?;
    Ok(LexicalExplanation {
        rank: fused.lexical.and_then(|place| place.rank),
        score: match fused.lexical {
            Some(place) => place.score,
            None => terms.iter().map(|term| term.score).sum(),
        },
        terms,
    })
}

fn fusion(request: &SearchRequest, candidate: &Candidate) -> FusionExplanation {
    let absent = |weight| FusionPart {
        weight,
        ..FusionPart::default()
    };
    let Fused { lexical, dense, .. } = candidate.fused;
    FusionExplanation {
        method: request.fusion,
        lexical: lexical.map_or(absent(lexical_weight(&request.fusion)), |place| place.part),
        dense: dense.map_or(absent(dense_weight(&request.fusion)), |place| place.part),
        score: candidate.fused.score,
        rank: candidate.rank,
    }
}
