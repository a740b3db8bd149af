//! `POST /v1/search`: ranked, highlighted, explained hits.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use search::SearchRequest;

use super::json;
use crate::app::App;
use crate::body;
use crate::problem::Problem;

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let wanted: SearchRequest = body::json(request, &app.limits).await?;
    wanted.validate()?;
    let shared = Arc::clone(&app);
    let answer = app.reads.run(move || {
        let snapshot = shared.store.snapshot()?;
        Ok(shared.searcher(&*snapshot).search(&wanted)?)
    });
    let answer = answer.await?;
    app.metrics.search(&answer.timings_ms);
    Ok(json(StatusCode::OK, &answer))
}
