//! `GET /openapi.json`: this API, described for machines.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Kept by hand; tests send its examples and compare its fields with the types.
pub(crate) const OPENAPI: &str = include_str!("../openapi.json");

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::OPENAPI;
    use crate::routes::routes;

    #[test]
    fn every_route_but_the_pages_is_described_and_no_other() {
        let api: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<&str> = api["paths"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        let is_page = |path: &str| path == "/" || path == "/docs" || path.starts_with("/page/");
        let mut routed: Vec<&str> = routes()
            .into_iter()
            .map(|(path, _)| path)
            .filter(|path| !is_page(path))
            .collect();
        described.sort_unstable();
        routed.sort_unstable();
        assert_eq!(described, routed);
    }
}
