//! Clients that are slow, go away, or come while the server stops.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::parts::{Server, Slow};

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(&server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends the head of a request that promises a body of so many bytes.
fn promise(stream: &mut TcpStream, path: &str, media_type: &str, bytes: usize) {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nContent-Length: {bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
}

fn first_line(stream: &mut TcpStream) -> String {
    let mut bytes = [0; 12];
    stream.read_exact(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_body_that_comes_too_slowly_is_given_up() {
    let server = Server::start_with(|parts| parts.limits.body_timeout = Duration::from_millis(200));
    let mut stream = connect(&server);
    promise(&mut stream, "/v1/search", "application/json", 100);
    stream.write_all(b"{\"query\"").unwrap();
    assert_eq!(first_line(&mut stream), "HTTP/1.1 408");
}

#[test]
fn a_head_that_comes_too_slowly_is_given_up() {
    let server = Server::start_with(|parts| parts.limits.header_timeout = Duration::from_millis(200));
    let mut stream = connect(&server);
    stream.write_all(b"POST /v1/search HTT").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_client_that_goes_away_leaves_nothing_behind() {
    let server = Server::start_with(|parts| parts.limits.bulks_max = 1);
    for _ in 0..3 {
        let mut stream = connect(&server);
        promise(&mut stream, "/v1/documents", "application/x-ndjson", 10_000);
        stream
            .write_all(b"{\"id\": \"a\", \"text\": \"half\"}\n{\"id\": ")
            .unwrap();
        drop(stream);
    }
    // Its turn is free again, and nothing of it was stored.
    assert_eq!(
        server.post_lines("{\"id\": \"b\", \"text\": \"whole\"}").status,
        200
    );
    assert!(server.found("half").is_empty());
    assert_eq!(server.found("whole"), ["b"]);
}

#[test]
fn a_body_without_a_length_is_bounded_too() {
    let server = Server::start_with(|parts| parts.limits.body_bytes_max = 1000);
    let mut stream = connect(&server);
    let head = "POST /v1/search HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let chunk = format!("400\r\n{}\r\n", " ".repeat(0x400));
    // The answer may come before all is sent.
    let _ = stream.write_all(chunk.repeat(2).as_bytes());
    assert_eq!(first_line(&mut stream), "HTTP/1.1 413");
    let long = json!({"query": "x".repeat(2000)});
    assert_eq!(server.post("/v1/search", &long).problem(413), "body");
}

#[test]
fn what_was_accepted_is_finished_before_the_server_ends() {
    let mut server = Server::start_with(|parts| parts.embed = Arc::new(Slow(Duration::from_millis(600))));
    let idle = connect(&server);
    let address = server.address.clone();
    let put = std::thread::spawn(move || {
        ureq::put(format!("http://{address}/v1/documents/a"))
            .send_json(json!({"text": "word"}))
            .unwrap()
            .status()
    });
    std::thread::sleep(Duration::from_millis(200));
    server.end().unwrap();
    assert_eq!(put.join().unwrap(), 200);
    drop(idle);
    assert!(TcpStream::connect(&server.address).is_err(), "it still listens");
    let snapshot = server.index().snapshot().unwrap();
    assert_eq!(corpus::ReadStore::info(&*snapshot).documents, 1);
}

#[test]
fn a_stop_does_not_wait_forever() {
    let mut server = Server::start_with(|parts| {
        parts.embed = Arc::new(Slow(Duration::from_secs(5)));
        parts.limits.shutdown_timeout = Duration::from_millis(300);
    });
    let address = server.address.clone();
    let search = std::thread::spawn(move || {
        ureq::post(format!("http://{address}/v1/search"))
            .send_json(json!({"query": "a"}))
            .is_err()
    });
    std::thread::sleep(Duration::from_millis(200));
    let begun = Instant::now();
    let error = server.end().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert!(search.join().unwrap(), "an answer came after the end");
}
