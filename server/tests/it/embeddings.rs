//! `POST /v1/embeddings`.

use infer::Role;
use serde_json::{Value, json};

use crate::parts::{MODEL, Server};

fn vector(json: &Value) -> Vec<f32> {
    serde_json::from_value(json.clone()).unwrap()
}

/// Largest absolute difference.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn one_text_and_many_have_the_vectors_of_the_model() {
    let server = Server::start();
    let texts = ["Rome burned.", "größe 東京 🗼"];
    let expected = MODEL.embed(&texts, Role::Passage).unwrap();
    let many = server
        .post("/v1/embeddings", &json!({"input": texts, "model": "bundled"}))
        .ok();
    assert_eq!(
        (&many["object"], &many["model"]),
        (&json!("list"), &json!("bundled"))
    );
    for (at, expected) in expected.iter().enumerate() {
        assert_eq!(many["data"][at]["index"], at);
        assert!(distance(&vector(&many["data"][at]["embedding"]), expected) < 1e-5);
    }
    let tokens: usize = texts.iter().map(|text| MODEL.count_tokens(text).unwrap()).sum();
    assert_eq!(
        many["usage"],
        json!({"prompt_tokens": tokens, "total_tokens": tokens})
    );
    let one = server.post("/v1/embeddings", &json!({"input": texts[0]})).ok();
    assert!(distance(&vector(&one["data"][0]["embedding"]), &expected[0]) < 1e-5);
    let query =
        json!({"input": texts[0], "input_type": "query", "dimensions": MODEL.dimension(), "user": "u"});
    let query = server.post("/v1/embeddings", &query).ok();
    let expected = MODEL.embed(&texts[..1], Role::Query).unwrap();
    assert!(distance(&vector(&query["data"][0]["embedding"]), &expected[0]) < 1e-5);
}

#[test]
fn base64_holds_the_same_numbers() {
    use base64::Engine;
    let server = Server::start();
    let request = json!({"input": "Rome burned.", "encoding_format": "base64"});
    let answer = server.post("/v1/embeddings", &request).ok();
    let text = answer["data"][0]["embedding"].as_str().unwrap();
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
    let floats: Vec<f32> = bytes
        .chunks(4)
        .map(|four| f32::from_le_bytes(four.try_into().unwrap()))
        .collect();
    let expected = MODEL.embed(&["Rome burned."], Role::Passage).unwrap();
    assert!(distance(&floats, &expected[0]) < 1e-5);
}

#[test]
fn what_cannot_be_embedded_is_refused() {
    let server = Server::start_with(|parts| parts.limits.embedding_inputs_max = 3);
    let post = |request: Value| server.post("/v1/embeddings", &request);
    for (request, field) in [
        (json!({"input": ""}), "input[0]"),
        (json!({"input": ["a", " "]}), "input[1]"),
        (json!({"input": []}), "input"),
        (json!({"input": ["a", "b", "c", "d"]}), "input"),
        (json!({"input": [1, 2, 3]}), "input"),
        (json!({"input": [[1, 2], [3]]}), "input"),
        (json!({"input": ["a", 7]}), "input[1]"),
        (json!({"input": {"text": "a"}}), "input"),
        (json!({"input": ["a", "word ".repeat(9000)]}), "input[1]"),
        (json!({"input": "a", "dimensions": 7}), "dimensions"),
        (json!({"input": "a", "encoding_format": "hex"}), "encoding_format"),
        (json!({"model": "bundled"}), "input"),
    ] {
        assert_eq!(post(request).problem(422), field);
    }
    let other = post(json!({"input": "a", "model": "text-embedding-3-small"}));
    assert_eq!(other.problem(404), "model");
    assert_eq!(other.json["accepted"], "bundled");
}
