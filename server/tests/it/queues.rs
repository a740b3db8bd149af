//! What happens when more comes than can be done.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use server::NamedReader;

use crate::parts::{Server, Slow, Years};

#[test]
fn what_neither_fits_nor_may_wait_is_told_to_come_back() {
    let server = Server::start_with(|parts| {
        parts.embed = Arc::new(Slow(Duration::from_millis(700)));
        parts.limits.reads_max = 1;
        parts.limits.reads_waiting_max = 1;
    });
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let answer = server.post("/v1/search", &json!({"query": "a", "mode": "dense"}));
                if answer.status == 200 {
                    answered.fetch_add(1, Ordering::Relaxed);
                } else {
                    answer.problem(429);
                    assert_eq!(answer.retry_after.as_deref(), Some("1"));
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(Duration::from_millis(300));
        // A busy server is alive, ready and countable.
        server.get("/healthz").ok();
        server.get("/readyz").ok();
        let metrics = server.get("/metrics").text;
        assert!(
            metrics.contains("cloze_queue_waiting{queue=\"read\"} 1"),
            "{metrics}"
        );
    });
    assert_eq!(
        (answered.load(Ordering::Relaxed), refused.load(Ordering::Relaxed)),
        (2, 4)
    );
}

#[test]
fn searches_that_read_are_admitted_as_all_are() {
    let server = Server::start_with(|parts| {
        parts.reader = Some(NamedReader {
            name: "slow".to_owned(),
            model: Arc::new(Years(Duration::from_millis(700))),
        });
        parts.limits.reads_max = 1;
        parts.limits.reads_waiting_max = 1;
    });
    server.put("/v1/documents/a", &json!({"text": "word 1"})).ok();
    let request = json!({"query": "word", "mode": "lexical", "answer": {}});
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let sending: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| server.post("/v1/search", &request).status))
            .collect();
        sending.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 429, 429, 429]);
}

#[test]
fn waiting_writes_are_bounded_as_well() {
    let server = Server::start_with(|parts| {
        parts.embed = Arc::new(Slow(Duration::from_millis(500)));
        parts.limits.writes_max = 1;
        parts.limits.writes_waiting_max = 1;
        parts.limits.bulks_max = 1;
        parts.limits.bulks_waiting_max = 0;
    });
    let put = |n: usize| {
        server
            .put(&format!("/v1/documents/{n}"), &json!({"text": "word"}))
            .status
    };
    let bulk = |n: usize| {
        server
            .post_lines(&format!("{{\"id\": \"bulk-{n}\", \"text\": \"word\"}}"))
            .status
    };
    // One kind after the other: a bulk that is let in still meets the puts when it writes.
    let at_once = |count: usize, send: &(dyn Fn(usize) -> u16 + Sync)| {
        let mut answers: Vec<u16> = std::thread::scope(|scope| {
            let sending: Vec<_> = (0..count).map(|n| scope.spawn(move || send(n))).collect();
            sending.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        answers.sort_unstable();
        answers
    };
    let (puts, bulks) = (at_once(5, &put), at_once(3, &bulk));
    assert_eq!(puts, [200, 200, 429, 429, 429]);
    assert_eq!(bulks, [200, 429, 429]);
    assert_eq!(server.found("word").len(), 3);
}
