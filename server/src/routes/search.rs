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
        let answer = shared.searcher(&*snapshot).search(&wanted)?;
        Ok((answer, snapshot, wanted))
    });
    let (answer, snapshot, wanted) = answer.await?;
    app.metrics.search(&answer.timings_ms);
    if app.recall.wants(&wanted) {
        tokio::task::spawn_blocking(move || match app.recall.sample(&*snapshot, &app.embed, &wanted) {
            Ok(Some(recall)) => app.metrics.recall(recall),
            Ok(None) => {}
            Err(error) => tracing::debug!("a search was not sampled: {error}"),
        });
    }
    Ok(json(StatusCode::OK, &answer))
}
