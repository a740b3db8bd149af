//! What is not about documents: health, counters, the pages, and routes that are not there.

use serde_json::json;
use ureq::http::Method;

use crate::parts::Server;

#[test]
fn it_says_whether_it_lives_and_with_what() {
    let server = Server::start();
    assert_eq!(server.get("/healthz").ok(), json!({"status": "ok"}));
    let ready = server.get("/readyz").ok();
    assert_eq!(
        (&ready["status"], &ready["model"], &ready["reranker"]),
        (&json!("ready"), &json!("bundled"), &json!(null))
    );
    assert_eq!(ready["index"]["documents"], 0);
}

#[test]
fn an_index_that_is_gone_is_not_ready() {
    let server = Server::start();
    std::fs::remove_dir_all(server.folder.path().join("index")).unwrap();
    server.get("/readyz").problem(503);
    assert_eq!(server.get("/healthz").status, 200);
    server.post("/v1/search", &json!({"query": "a"})).problem(500);
}

#[test]
fn every_answer_is_counted_by_route_and_status() {
    let server = Server::start();
    server.put("/v1/documents/a%2Fb", &json!({"text": "word"})).ok();
    server.found("word");
    server.post("/v1/search", &json!({"query": ""})).problem(422);
    server.get("/no/such/route").problem(404);
    let metrics = server.get("/metrics");
    assert!(metrics.media_type.starts_with("application/openmetrics-text"));
    for line in [
        r#"cloze_http_requests_total{method="PUT",route="/v1/documents/{id}",status="200"} 1"#,
        r#"cloze_http_requests_total{method="POST",route="/v1/search",status="200"} 1"#,
        r#"cloze_http_requests_total{method="POST",route="/v1/search",status="422"} 1"#,
        r#"cloze_http_requests_total{method="GET",route="none",status="404"} 1"#,
        r#"cloze_http_request_duration_seconds_count{route="/v1/search"} 2"#,
        r#"cloze_search_stage_duration_seconds_count{stage="lexical"} 1"#,
        r#"cloze_queue_waiting{queue="embed"} 0"#,
        "cloze_index_documents 1",
        "cloze_index_generation 1",
        "# EOF",
    ] {
        assert!(
            metrics.text.lines().any(|found| found == line),
            "no {line} in\n{}",
            metrics.text
        );
    }
    assert!(!metrics.text.contains("a%2Fb"));
}

#[test]
fn the_recall_of_searches_is_sampled() {
    let server = Server::start();
    server.put("/v1/documents/a", &json!({"text": "word"})).ok();
    let before = server.get("/metrics").text;
    assert!(before.contains("cloze_dense_recall_samples_total 0"), "{before}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    loop {
        server
            .post("/v1/search", &json!({"query": "word", "mode": "dense"}))
            .ok();
        std::thread::sleep(std::time::Duration::from_millis(20));
        let metrics = server.get("/metrics").text;
        if !metrics.contains("cloze_dense_recall_samples_total 0") {
            assert!(metrics.contains("cloze_dense_recall_at_10 1.0"), "{metrics}");
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{metrics}");
    }
}

#[test]
fn other_routes_and_methods_are_problems_too() {
    let server = Server::start();
    server.get("/v2/search").problem(404);
    server.get("/v1/search").problem(405);
    server
        .send(Method::PATCH, "/v1/documents/a", "", b"")
        .problem(405);
}

#[test]
fn the_pages_load_nothing_from_elsewhere() {
    let server = Server::start();
    for path in [
        "/",
        "/docs",
        "/page/style.css",
        "/page/search.js",
        "/page/docs.js",
    ] {
        let answer = server.get(path);
        assert_eq!(answer.status, 200);
        for (at, _) in answer.text.match_indices("http") {
            let rest = &answer.text[at..];
            // The name of a namespace in the icon; it is not fetched.
            assert!(
                !rest.starts_with("http://") && !rest.starts_with("https://")
                    || rest.starts_with("http://www.w3.org/2000/svg"),
                "{path}: {:.60}",
                rest
            );
        }
        assert!(!answer.text.contains("innerHTML"), "{path}");
    }
    let response = ureq::get(format!("http://{}/", server.address)).call().unwrap();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(
        policy.starts_with("default-src 'none'") && !policy.contains("http") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(response.headers()["x-content-type-options"], "nosniff");
}
