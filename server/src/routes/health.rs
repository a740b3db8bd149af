//! `GET /healthz`: the process lives. `GET /readyz`: it can answer, and with what.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use corpus::StoreInfo;
use serde::Serialize;

use super::json;
use crate::app::{App, check_model};
use crate::problem::{Kind, Problem};

#[derive(Serialize)]
struct Ready<'a> {
    status: &'static str,
    model: &'a str,
    reranker: Option<&'a str>,
    reader: Option<&'a str>,
    read_only: bool,
    index: StoreInfo,
}

pub(super) async fn alive() -> Response {
    json(StatusCode::OK, &serde_json::json!({"status": "ok"}))
}

pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let index = info(&app).await?;
    let reranker = app.reranker.as_ref().map(|reranker| reranker.name.as_str());
    let reader = app.reader.as_ref().map(|reader| reader.name.as_str());
    let (model, read_only) = (app.model.as_str(), app.read_only());
    Ok(json(
        StatusCode::OK,
        &Ready {
            status: "ready",
            model,
            reranker,
            reader,
            read_only,
            index,
        },
    ))
}

/// What is in the index now; a problem when it cannot be read or searched.
pub(super) async fn info(app: &Arc<App>) -> Result<StoreInfo, Problem> {
    let shared = Arc::clone(app);
    // Not through the queue of the reads: a busy server is ready.
    let info = tokio::task::spawn_blocking(move || {
        let info = shared.store.snapshot()?.info();
        check_model(&info, &shared.embed).map(|()| info)
    });
    let unavailable = |error: String| Problem::new(Kind::Unavailable, error);
    info.await
        .map_err(|error| unavailable(error.to_string()))?
        .map_err(|error| unavailable(error.to_string()))
}
