//! `GET /metrics`: counters and times for Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::health;
use crate::app::App;
use crate::metrics::MEDIA_TYPE;
use crate::problem::{Kind, Problem};

pub(super) async fn get(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    app.metrics.waiting("read", app.reads.waiting());
    app.metrics.waiting("write", app.writes.waiting());
    app.metrics.waiting("embed", app.embed.waiting().requests);
    app.metrics.waiting("bulk", app.bulks.waiting());
    // An index that cannot be read keeps its last figures; /readyz says what is wrong with it.
    if let Ok(info) = health::info(&app).await {
        app.metrics.index(&info);
    }
    let text = app
        .metrics
        .text()
        .map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, MEDIA_TYPE)], text).into_response())
}
