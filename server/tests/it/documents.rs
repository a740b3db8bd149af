//! One document, and many.

use serde_json::{Value, json};

use crate::parts::Server;

#[test]
fn a_document_is_visible_when_its_answer_has_come() {
    let server = Server::start();
    let document =
        json!({"title": "Rome", "text": "Rome burned.", "metadata": {"year": 64, "tags": ["a", "b"]}});
    let stored = server.put("/v1/documents/rome", &document).ok();
    assert_eq!(stored, json!({"id": "rome", "result": "stored", "generation": 1}));
    let mut read = document.clone();
    read["id"] = json!("rome");
    assert_eq!(server.get("/v1/documents/rome").ok(), read);
    assert_eq!(server.found("burned"), ["rome"]);

    server
        .put("/v1/documents/rome", &json!({"text": "Rome was built."}))
        .ok();
    assert!(server.found("burned").is_empty());
    assert_eq!(server.found("built"), ["rome"]);

    let deleted = server.delete("/v1/documents/rome").ok();
    assert_eq!(
        deleted,
        json!({"id": "rome", "result": "deleted", "generation": 3})
    );
    assert!(server.found("built").is_empty());
    assert_eq!(server.get("/v1/documents/rome").problem(404), "id");
    assert_eq!(server.delete("/v1/documents/rome").problem(404), "id");
    assert_eq!(server.get("/readyz").ok()["index"]["generation"], 3);
}

#[test]
fn ids_may_have_slashes_and_any_letters() {
    let server = Server::start();
    for (path, id) in [
        ("a%2Fb%2Fc.md", "a/b/c.md"),
        ("gr%C3%B6%C3%9Fe", "größe"),
        ("%E6%9D%B1%E4%BA%AC%20%F0%9F%97%BC", "東京 🗼"),
        ("a+b%25", "a+b%"),
        ("%3Fq=1%23x", "?q=1#x"),
    ] {
        let path = format!("/v1/documents/{path}");
        assert_eq!(server.put(&path, &json!({"text": "word"})).ok()["id"], id);
        assert_eq!(server.get(&path).ok()["id"], id);
        assert_eq!(server.delete(&path).ok()["id"], id);
    }
    let long = format!("/v1/documents/{}", "x".repeat(513));
    assert_eq!(server.put(&long, &json!({"text": "word"})).problem(422), "id");
    assert_eq!(server.get("/v1/documents/a%00b").problem(422), "id");
    server.get("/v1/documents/%FF").problem(400);
    server.get("/v1/documents/a/b").problem(404);
}

#[test]
fn a_document_that_cannot_be_stored_is_refused() {
    let server = Server::start_with(|parts| parts.limits.document_bytes_max = 1000);
    let put = |document: Value| server.put("/v1/documents/a", &document);
    assert_eq!(put(json!({"text": " \n"})).problem(422), "text");
    assert_eq!(put(json!({"title": "no text"})).problem(422), "text");
    assert_eq!(put(json!({"text": "a", "id": "b"})).problem(422), "id");
    assert_eq!(
        put(json!({"text": "a", "metadata": {"x": {"y": 1}}})).problem(422),
        "metadata.x"
    );
    assert_eq!(put(json!({"text": "a", "author": "b"})).problem(422), "author");
    assert_eq!(put(json!({"text": "word ".repeat(200)})).problem(413), "document");
    assert_eq!(server.get("/readyz").ok()["index"]["generation"], 0);
}

#[test]
fn a_long_document_becomes_several_passages() {
    let server = Server::start();
    let text: String = (0..400)
        .map(|n| format!("Sentence number {n} is about topic{n}. "))
        .collect();
    server.put("/v1/documents/long", &json!({"text": text})).ok();
    assert!(server.get("/readyz").ok()["index"]["passages"].as_u64().unwrap() > 10);
    let answer = server
        .post("/v1/search", &json!({"query": "topic399", "mode": "lexical"}))
        .ok();
    let hit = &answer["hits"][0];
    let [from, to] = [0, 1].map(|i| hit["span"][i].as_u64().unwrap() as usize);
    assert_eq!(&text[from..to], hit["text"].as_str().unwrap());
}

#[test]
fn every_bad_line_is_reported_and_every_good_one_is_stored() {
    let server = Server::start_with(|parts| parts.limits.document_bytes_max = 200);
    let lines = [
        r#"{"id": "a", "text": "alpha"}"#,
        "",
        r#"{"id": "b", "text": "#,
        r#"{"id": "c", "text": "gamma", "metadata": {"n": null}}"#,
        r#"{"id": "", "text": "delta"}"#,
        r#"{"id": "a", "text": "epsilon"}"#,
        r#"{"id": "f", "text": "  "}"#,
        &format!(r#"{{"id": "g", "text": "{}"}}"#, "eta ".repeat(100)),
        "{\"id\": \"h\", \"text\": \"theta\"}\r",
    ];
    let answer = server.post_lines(&lines.join("\n"));
    assert_eq!(answer.status, 207, "{}", answer.text);
    let results = answer.json["results"].as_array().unwrap();
    let seen: Vec<_> = results
        .iter()
        .map(|result| {
            (
                result["line"].as_u64().unwrap(),
                result["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (1, 200),
            (3, 400),
            (4, 422),
            (5, 422),
            (6, 422),
            (7, 422),
            (8, 413),
            (9, 200)
        ]
    );
    assert_eq!(results[2]["problem"]["field"], "metadata.n", "{}", results[2]);
    assert_eq!(results[4]["problem"]["field"], "id", "{}", results[4]);
    assert_eq!(
        (&answer.json["accepted"], &answer.json["rejected"]),
        (&json!(2), &json!(6))
    );
    assert_eq!(answer.json["generation"], 1);
    assert_eq!(
        (server.found("alpha"), server.found("theta")),
        (vec!["a".to_owned()], vec!["h".to_owned()])
    );
    assert!(server.found("epsilon").is_empty());
}

#[test]
fn an_array_has_the_same_rules() {
    let server = Server::start();
    let documents = json!([{"id": "a", "text": "alpha"}, {"id": "b"}, 7, {"id": "c", "text": "gamma"}]);
    let answer = server.post("/v1/documents", &documents);
    assert_eq!(answer.status, 207, "{}", answer.text);
    let results = answer.json["results"].as_array().unwrap();
    let seen: Vec<_> = results
        .iter()
        .map(|result| (&result["index"], &result["status"]))
        .collect();
    assert_eq!(
        seen,
        [
            (&json!(0), &json!(200)),
            (&json!(1), &json!(422)),
            (&json!(2), &json!(422)),
            (&json!(3), &json!(200))
        ]
    );
    assert_eq!(server.found("alpha gamma").len(), 2);
    server
        .post("/v1/documents", &json!({"id": "a", "text": "alpha"}))
        .problem(422);
}

#[test]
fn when_all_are_refused_nothing_is_committed() {
    let server = Server::start();
    let answer = server.post_lines("{\n}\n");
    assert_eq!(
        (answer.status, &answer.json["generation"]),
        (207, &Value::Null),
        "{}",
        answer.text
    );
    assert_eq!(server.get("/readyz").ok()["index"]["generation"], 0);
}

#[test]
fn a_bulk_has_bounds() {
    let server = Server::start_with(|parts| {
        parts.limits.bulk_documents_max = 3;
        parts.limits.bulk_bytes_max = 2000;
    });
    let line = |n: usize| format!("{{\"id\": \"{n}\", \"text\": \"word\"}}\n");
    let lines = |count: usize| (0..count).map(line).collect::<String>();
    assert_eq!(server.post_lines(&lines(4)).problem(422), "body");
    assert_eq!(server.post_lines("\n\n").problem(422), "body");
    assert_eq!(server.post_lines(&lines(200)).problem(413), "body");
    let plain = server.send(ureq::http::Method::POST, "/v1/documents", "text/csv", b"id,text");
    assert_eq!(plain.problem(415), "Content-Type");
    assert_eq!(server.post_lines(&lines(3)).ok()["accepted"], 3);
}

#[test]
fn a_large_bulk_is_one_commit() {
    let server = Server::start();
    let lines: String = (0..300)
        .map(|n| format!("{{\"id\": \"{n}\", \"text\": \"word number{n}\"}}\n"))
        .collect();
    let answer = server.post_lines(&lines).ok();
    assert_eq!(
        (&answer["accepted"], &answer["generation"]),
        (&json!(300), &json!(1))
    );
    assert_eq!(server.found("number299"), ["299"]);
}
