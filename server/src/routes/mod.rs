//! The routes, each in its own file, and what they have in common.

mod docs;
mod document;
mod documents;
mod embeddings;
mod health;
mod metrics;
mod page;
mod rerank;
mod search;

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::Serialize;

use crate::app::App;
use crate::problem::{Kind, Problem};

/// Every route with what answers it. The page at `/docs` and a test read the same paths in `openapi.json`.
pub(crate) fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    let document = get(document::get).put(document::put).delete(document::delete);
    vec![
        ("/", get(page::index)),
        ("/page/style.css", get(page::style)),
        ("/page/search.js", get(page::search_script)),
        ("/page/docs.js", get(page::docs_script)),
        ("/docs", get(page::docs)),
        ("/openapi.json", get(docs::openapi)),
        ("/healthz", get(health::alive)),
        ("/readyz", get(health::ready)),
        ("/metrics", get(metrics::get)),
        ("/v1/search", post(search::post)),
        ("/v1/documents", post(documents::post)),
        ("/v1/documents/{id}", document),
        ("/v1/embeddings", post(embeddings::post)),
        ("/v1/rerank", post(rerank::post)),
    ]
}

/// The whole service.
pub fn router(app: Arc<App>) -> Router {
    let router = routes()
        .into_iter()
        .fold(Router::new(), |router, (path, method)| router.route(path, method));
    router
        .method_not_allowed_fallback(other_method)
        .fallback(no_route)
        .layer(from_fn_with_state(Arc::clone(&app), observe))
        .with_state(app)
}

async fn no_route(uri: Uri) -> Problem {
    let detail = format!("there is no route {}; GET /openapi.json lists them", uri.path());
    Problem::new(Kind::NotFound, detail)
}

async fn other_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        Kind::Method,
        format!(
            "{} has no {method}; the header Allow lists what it has",
            uri.path()
        ),
    )
}

/// Counts every answer, and tells browsers not to guess its type.
async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().to_string();
    // Not the path itself: ids of documents would make one counter each.
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("none", MatchedPath::as_str)
        .to_owned();
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    app.metrics
        .request(method, route, response.status().as_u16(), started.elapsed());
    response
}

/// An answer in JSON.
fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => (
            status,
            [(header::CONTENT_TYPE, "application/json")],
            Body::from(body),
        )
            .into_response(),
        Err(error) => Problem::new(Kind::Internal, format!("the answer is no JSON: {error}")).into_response(),
    }
}
