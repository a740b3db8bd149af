//! The page at `/` and the one at `/docs`: plain files without anything from elsewhere.

use axum::http::header;
use axum::response::{IntoResponse, Response};

/// Nothing is loaded or sent anywhere but here, and no script stands in the page itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn html(text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, text).into_response()
}

fn asset(media_type: &'static str, text: &'static str) -> Response {
    (
        [
            (header::CONTENT_TYPE, media_type),
            (header::CACHE_CONTROL, "no-cache"),
        ],
        text,
    )
        .into_response()
}

pub(super) async fn index() -> Response {
    html(include_str!("../../page/index.html"))
}

pub(super) async fn docs() -> Response {
    html(include_str!("../../page/docs.html"))
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("../../page/style.css"))
}

pub(super) async fn search_script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../../page/search.js"),
    )
}

pub(super) async fn docs_script() -> Response {
    asset(
        "text/javascript; charset=utf-8",
        include_str!("../../page/docs.js"),
    )
}
