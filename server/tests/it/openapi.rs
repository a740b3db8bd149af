//! The description of the API is true: its examples work, and what answers is what it describes.

use serde_json::{Value, json};
use ureq::http::Method;

use crate::parts::Server;

/// The schema itself, or what it refers to.
fn resolve<'a>(api: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(path) => api
            .pointer(path.trim_start_matches('#'))
            .unwrap_or_else(|| panic!("no {path}")),
        None => schema,
    }
}

/// Every field of the answer is described, and every required one is there.
fn check(api: &Value, schema: &Value, value: &Value, at: &str) {
    let schema = resolve(api, schema);
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for value in values {
            check(api, items, value, at);
        }
    }
    let (Some(properties), Some(fields)) = (schema["properties"].as_object(), value.as_object()) else {
        return;
    };
    for (field, value) in fields {
        let described = properties
            .get(field)
            .unwrap_or_else(|| panic!("{at}.{field} is not described"));
        check(api, described, value, &format!("{at}.{field}"));
    }
    for required in schema["required"].as_array().into_iter().flatten() {
        assert!(
            value.get(required.as_str().unwrap()).is_some(),
            "{at} has no {required}"
        );
    }
}

#[test]
fn every_example_is_answered_as_described() {
    let server = Server::start();
    let api = server.get("/openapi.json").ok();
    server
        .put(
            "/v1/documents/notes%2Frome",
            &json!({"title": "Rome", "text": "Rome burned."}),
        )
        .ok();
    for (path, operations) in api["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let empty = serde_json::Map::new();
            let contents = operation["requestBody"]["content"].as_object().unwrap_or(&empty);
            let mut bodies: Vec<(&str, Vec<u8>)> = contents
                .iter()
                .map(|(media_type, content)| {
                    let example = &content["example"];
                    let text = example
                        .as_str()
                        .map_or_else(|| example.to_string(), str::to_owned);
                    (media_type.as_str(), text.into_bytes())
                })
                .collect();
            if bodies.is_empty() {
                bodies.push(("", Vec::new()));
            }
            for (media_type, body) in bodies {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let address = path.replace("{id}", "notes%2Frome");
                let answer = server.send(method.clone(), &address, media_type, &body);
                let name = format!("{method} {path}");
                let expected = if path == "/v1/rerank" { 501 } else { 200 };
                assert_eq!(answer.status, expected, "{name}: {}", answer.text);
                let described = &operation["responses"][expected.to_string()]["content"];
                let answered = answer.media_type.split(';').next().unwrap();
                assert!(described.get(answered).is_some(), "{name} answers {answered}");
                check(&api, &described[answered]["schema"], &answer.json, &name);
            }
        }
    }
}

#[test]
fn the_fields_of_a_search_are_those_of_the_type() {
    let server = Server::start();
    let api = server.get("/openapi.json").ok();
    let properties = &api["components"]["schemas"]["SearchRequest"]["properties"];
    let refused = server.post("/v1/search", &json!({"query": "a", "no such field": 1}));
    let accepted = refused.json["accepted"].as_str().unwrap();
    let fields: Vec<&str> = accepted
        .split(", ")
        .map(|field| field.trim_matches('`'))
        .collect();
    let described: Vec<&str> = properties
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(described, fields);
    let default = serde_json::to_value(search::SearchRequest::new("a")).unwrap();
    for (field, property) in properties.as_object().unwrap() {
        if let Some(described) = property.get("default") {
            assert_eq!(described, &default[field], "{field}");
        }
    }
}

#[test]
fn the_described_bounds_are_the_real_ones() {
    let server = Server::start();
    let api = server.get("/openapi.json").ok();
    let properties = api["components"]["schemas"]["SearchRequest"]["properties"]
        .as_object()
        .unwrap()
        .clone();
    for (field, property) in properties {
        for (bound, step) in [("minimum", -1), ("maximum", 1)] {
            let Some(bound) = property[bound].as_i64() else {
                continue;
            };
            let status = |value: i64| {
                server
                    .post("/v1/search", &json!({"query": "a", field.as_str(): value}))
                    .status
            };
            assert_eq!((status(bound), status(bound + step)), (200, 422), "{field}");
        }
    }
}
