//! Many clients at once.

use serde_json::json;

use crate::parts::Server;

#[test]
fn eight_clients_write_and_search_at_once() {
    const CLIENTS: usize = 8;
    const ROUNDS: usize = 12;
    let server = Server::start();
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let server = &server;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let id = format!("{client}-{round}");
                    let text = format!("client{client} wrote round{round}");
                    let stored = server
                        .put(&format!("/v1/documents/{id}"), &json!({"text": text}))
                        .ok();
                    let request = json!({"query": text, "filter": {"not": {"exists": "draft"}}, "limit": 1});
                    let found = server.post("/v1/search", &request).ok();
                    assert!(found["generation"].as_u64() >= stored["generation"].as_u64());
                    let own = server
                        .post(
                            "/v1/search",
                            &json!({"query": text, "mode": "lexical", "limit": 100}),
                        )
                        .ok();
                    let hits = own["hits"].as_array().unwrap();
                    assert!(
                        hits.iter().any(|hit| hit["document"] == json!(id)),
                        "{id} is not visible"
                    );
                    server.get(&format!("/v1/documents/{id}")).ok();
                    server.post("/v1/embeddings", &json!({"input": [text, id]})).ok();
                }
            });
        }
    });
    let index = &server.get("/readyz").ok()["index"];
    assert_eq!(index["documents"], CLIENTS * ROUNDS);
    // Writes that came at the same time share a commit, so there are at most as many commits as writes.
    assert!(index["generation"].as_u64().unwrap() <= (CLIENTS * ROUNDS) as u64);
}
