//! `POST /v1/rerank`: texts in the order in which they answer a query, in the shape of Cohere's and Jina's APIs.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use search::SearchRequest;
use serde::{Deserialize, Serialize};

use super::embeddings::check_model;
use super::json;
use crate::app::App;
use crate::body;
use crate::limits::Limits;
use crate::problem::{Problem, no_reranker};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    model: Option<String>,
    query: String,
    documents: Vec<Text>,
    top_n: Option<usize>,
    #[serde(default)]
    return_documents: bool,
}

/// A text, bare or as an object.
#[derive(Deserialize)]
#[serde(untagged, expecting = "a text or an object {\"text\": ...}")]
enum Text {
    Bare(String),
    Object { text: String },
}

impl Text {
    fn into_inner(self) -> String {
        match self {
            Self::Bare(text) | Self::Object { text } => text,
        }
    }
}

#[derive(Serialize)]
struct Answer<'a> {
    model: &'a str,
    results: Vec<Ranked>,
}

#[derive(Serialize)]
struct Ranked {
    /// Place in the request, from 0.
    index: usize,
    relevance_score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    document: Option<Returned>,
}

#[derive(Serialize)]
struct Returned {
    text: String,
}

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let wanted: Wanted = body::json(request, &app.limits).await?;
    let reranker = app.reranker.as_ref().ok_or_else(|| no_reranker("model"))?;
    check_model(wanted.model.as_deref(), &reranker.name)?;
    check(&wanted, &app.limits)?;
    let Wanted {
        query,
        documents,
        top_n,
        return_documents,
        ..
    } = wanted;
    let model = Arc::clone(&reranker.model);
    let scored = app.reads.run(move || {
        let texts: Vec<String> = documents.into_iter().map(Text::into_inner).collect();
        let passages: Vec<&str> = texts.iter().map(String::as_str).collect();
        let scores = model.score(&query, &passages)?;
        Ok((scores, texts))
    });
    let (scores, texts) = scored.await?;
    let mut results: Vec<Ranked> = scores
        .into_iter()
        .zip(texts)
        .enumerate()
        .map(|(index, (relevance_score, text))| Ranked {
            index,
            relevance_score,
            document: return_documents.then_some(Returned { text }),
        })
        .collect();
    results.sort_by(|a, b| b.relevance_score.total_cmp(&a.relevance_score));
    results.truncate(top_n.unwrap_or(usize::MAX));
    Ok(json(
        StatusCode::OK,
        &Answer {
            model: &reranker.name,
            results,
        },
    ))
}

fn check(wanted: &Wanted, limits: &Limits) -> Result<(), Problem> {
    SearchRequest::new(&wanted.query).validate()?;
    let (given, most) = (wanted.documents.len(), limits.rerank_documents_max);
    if given == 0 || given > most {
        return Err(Problem::invalid(
            "documents",
            format!("a list of {given}"),
            format!("1 to {most} texts"),
        ));
    }
    match wanted.top_n {
        Some(0) => Err(Problem::invalid("top_n", 0, "at least 1")),
        _ => Ok(()),
    }
}
