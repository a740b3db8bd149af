//! What the tests share: a running server, requests to it, and parts that are slow or broken on purpose.

use std::net::TcpListener;
use std::ops::Range;
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

use corpus::TitleUse;
use index::{Index, Settings};
use infer::{Embed, Embedder, InferError, ModelSettings, Read, Reading, Rerank, Role};
use search::ingest::IngestSettings;
use serde_json::Value;
use server::{App, Limits, Parts, Stop, serve};
use tempfile::TempDir;
use ureq::http::{Method, Request, header};

/// The bundled model, opened once.
pub(crate) static MODEL: LazyLock<Arc<dyn Embed>> = LazyLock::new(|| {
    let files = bundled::encoder();
    Arc::new(Embedder::open(&files, &ModelSettings::new(1)).unwrap())
});

/// A server that runs until it is dropped.
pub(crate) struct Server {
    pub(crate) folder: TempDir,
    pub(crate) address: String,
    pub(crate) stop: Stop,
    running: Option<JoinHandle<std::io::Result<()>>>,
    agent: ureq::Agent,
}

/// Status, retry-after and JSON of an answer; null where the answer is no JSON.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) media_type: String,
    pub(crate) retry_after: Option<String>,
    pub(crate) text: String,
    pub(crate) json: Value,
}

pub(crate) fn settings() -> Settings {
    Settings {
        dimension: MODEL.dimension(),
        fingerprint: MODEL.fingerprint().to_owned(),
        model: "bundled".to_owned(),
        titles: TitleUse::Join,
        language: "english".to_owned(),
        fold_accents: true,
        title_weight: 1,
        bm25: index::Bm25::default(),
        chunk_tokens: 64,
        chunk_overlap: 8,
    }
}

impl Server {
    /// A server over an empty index.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// The same, with parts changed.
    pub(crate) fn start_with(change: impl FnOnce(&mut Parts)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = Index::create(&folder.path().join("index"), settings()).unwrap();
        let mut parts = Parts {
            store: Arc::new(index),
            embed: Arc::clone(&*MODEL),
            model: "bundled".to_owned(),
            reranker: None,
            reader: None,
            ingest: IngestSettings {
                chunk_tokens: 64,
                chunk_overlap: 8,
                titles: TitleUse::Join,
            },
            read_only: false,
            limits: Limits::default(),
        };
        change(&mut parts);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = Stop::default();
        let app = App::new(parts).unwrap();
        let running = std::thread::spawn({
            let stop = stop.clone();
            move || serve(app, listener, &stop)
        });
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent();
        Self {
            folder,
            address,
            stop,
            running: Some(running),
            agent,
        }
    }

    pub(crate) fn index(&self) -> Index {
        Index::open(&self.folder.path().join("index")).unwrap()
    }

    /// Asks the server to stop, and waits for its end.
    pub(crate) fn end(&mut self) -> std::io::Result<()> {
        self.stop.stop();
        self.running.take().unwrap().join().unwrap()
    }

    pub(crate) fn send(&self, method: Method, path: &str, media_type: &str, body: &[u8]) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        let request = request.header(header::CONTENT_TYPE, media_type);
        let sent = match body {
            [] => self.agent.run(request.body(()).unwrap()),
            body => self.agent.run(request.body(body).unwrap()),
        };
        let mut response = sent.unwrap();
        let text = |name| {
            response
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let (media_type, retry_after) = (text(header::CONTENT_TYPE), text(header::RETRY_AFTER));
        let text = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .unwrap();
        Answer {
            status: response.status().as_u16(),
            media_type: media_type.unwrap_or_default(),
            retry_after,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "", b"")
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, "", b"")
    }

    pub(crate) fn put(&self, path: &str, json: &Value) -> Answer {
        self.send(Method::PUT, path, "application/json", json.to_string().as_bytes())
    }

    pub(crate) fn post(&self, path: &str, json: &Value) -> Answer {
        self.send(
            Method::POST,
            path,
            "application/json",
            json.to_string().as_bytes(),
        )
    }

    pub(crate) fn post_lines(&self, lines: &str) -> Answer {
        self.send(
            Method::POST,
            "/v1/documents",
            "application/x-ndjson",
            lines.as_bytes(),
        )
    }

    /// The ids of the hits of a lexical search, best first.
    pub(crate) fn found(&self, query: &str) -> Vec<String> {
        let answer = self.post(
            "/v1/search",
            &serde_json::json!({"query": query, "mode": "lexical"}),
        );
        assert_eq!(answer.status, 200, "{}", answer.text);
        let hits = answer.json["hits"].as_array().unwrap();
        hits.iter()
            .map(|hit| hit["document"].as_str().unwrap().to_owned())
            .collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(running) = self.running.take() {
            let _ = running.join();
        }
    }
}

impl Answer {
    /// Checks that it is a problem of this status, and says of which field.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.text);
        assert_eq!(self.media_type, "application/problem+json");
        assert_eq!(self.json["status"], status);
        assert!(
            self.json["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:cloze:problem:"),
            "{}",
            self.text
        );
        assert!(!self.json["detail"].as_str().unwrap().is_empty());
        self.json["field"].as_str().unwrap_or_default()
    }

    /// Checks that it went well.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert_eq!(self.status, 200, "{}", self.text);
        self.json
    }
}

/// A model that takes its time.
pub(crate) struct Slow(pub(crate) Duration);

impl Embed for Slow {
    fn embed(&self, texts: &[&str], role: Role) -> Result<Vec<Vec<f32>>, InferError> {
        std::thread::sleep(self.0);
        MODEL.embed(texts, role)
    }

    fn dimension(&self) -> usize {
        MODEL.dimension()
    }

    fn fingerprint(&self) -> &str {
        MODEL.fingerprint()
    }

    fn tokens_max(&self) -> usize {
        MODEL.tokens_max()
    }

    fn chunk(&self, text: &str, tokens: usize, overlap: usize) -> Result<Vec<Range<usize>>, InferError> {
        MODEL.chunk(text, tokens, overlap)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, InferError> {
        MODEL.count_tokens(text)
    }
}

/// Scores a passage by the share of the query's words that it has.
pub(crate) struct WordOverlap;

impl Rerank for WordOverlap {
    fn score(&self, query: &str, passages: &[&str]) -> Result<Vec<f32>, InferError> {
        let words: Vec<&str> = query.split_whitespace().collect();
        let score = |passage: &&str| {
            let shared = words.iter().filter(|word| passage.contains(**word)).count();
            shared as f32 / words.len() as f32
        };
        Ok(passages.iter().map(score).collect())
    }

    fn fingerprint(&self) -> &str {
        "word-overlap"
    }
}

/// Reads the first number of a text as the answer, as sure of it as it is great; surer of none without a number.
#[derive(Default)]
pub(crate) struct Years(pub(crate) Duration);

impl Read for Years {
    fn read(&self, questions: &[(&str, &str)]) -> Result<Vec<Reading>, InferError> {
        std::thread::sleep(self.0);
        let read = |&(_, text): &(&str, &str)| {
            let first = text.find(|c: char| c.is_ascii_digit());
            let span = first.map_or(0..1, |first| {
                let digits = text[first..].bytes().take_while(u8::is_ascii_digit);
                first..first + digits.count()
            });
            Reading {
                score: text[span.clone()].parse().unwrap_or(-1.0),
                span,
                nothing: 0.0,
            }
        };
        Ok(questions.iter().map(read).collect())
    }

    fn threshold(&self) -> f32 {
        10.0
    }

    fn fingerprint(&self) -> &str {
        "years"
    }
}
