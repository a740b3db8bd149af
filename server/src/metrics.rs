//! Counters and times, as Prometheus reads them (OpenMetrics text).

use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use corpus::StoreInfo;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use search::Timings;

/// The media type of [`Metrics::text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of the histograms, in seconds: half a millisecond to half a minute.
const BUCKETS_S: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06, 0.12, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 30.0,
];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabel {
    queue: &'static str,
}

type Times<L> = Family<L, Histogram, fn() -> Histogram>;

fn times<L: Clone + Eq + std::hash::Hash>() -> Times<L> {
    Family::new_with_constructor(|| Histogram::new(BUCKETS_S))
}

/// Everything that is counted.
pub(crate) struct Metrics {
    registry: Mutex<Registry>,
    requests: Family<RequestLabels, Counter>,
    request_times: Times<RouteLabel>,
    stage_times: Times<StageLabel>,
    waiting: Family<QueueLabel, Gauge>,
    documents: Gauge,
    passages: Gauge,
    generation: Gauge,
    recall: Gauge<f64, AtomicU64>,
    recall_samples: Counter,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let metrics = Self {
            registry: Mutex::new(Registry::with_prefix("cloze")),
            requests: Family::default(),
            request_times: times(),
            stage_times: times(),
            waiting: Family::default(),
            documents: Gauge::default(),
            passages: Gauge::default(),
            generation: Gauge::default(),
            recall: Gauge::default(),
            recall_samples: Counter::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = &mut *registry;
        registry.register("http_requests", "Answered requests", self.requests.clone());
        let help = "Time from the request's headers to the answer";
        registry.register_with_unit(
            "http_request_duration",
            help,
            Unit::Seconds,
            self.request_times.clone(),
        );
        let help = "Time of each stage of a search";
        registry.register_with_unit(
            "search_stage_duration",
            help,
            Unit::Seconds,
            self.stage_times.clone(),
        );
        registry.register(
            "queue_waiting",
            "Requests that wait for their turn",
            self.waiting.clone(),
        );
        registry.register("index_documents", "Live documents", self.documents.clone());
        registry.register("index_passages", "Live passages", self.passages.clone());
        registry.register("index_generation", "The newest commit", self.generation.clone());
        let help = "Share of the ten nearest passages that dense searches find; mean of the latest samples";
        registry.register("dense_recall_at_10", help, self.recall.clone());
        let help = "Searches that were answered again exactly to measure their recall";
        registry.register("dense_recall_samples", help, self.recall_samples.clone());
    }

    /// Counts one answered request.
    pub(crate) fn request(&self, method: String, route: String, status: u16, time: Duration) {
        self.request_times
            .get_or_create(&RouteLabel { route: route.clone() })
            .observe(time.as_secs_f64());
        self.requests
            .get_or_create(&RequestLabels {
                method,
                route,
                status,
            })
            .inc();
    }

    /// Counts the stages of one search; one that was not needed is left out.
    pub(crate) fn search(&self, timings: &Timings) {
        let stages = [
            ("embed", timings.embed),
            ("lexical", timings.lexical),
            ("dense", timings.dense),
            ("fuse", timings.fuse),
            ("fetch", timings.fetch),
            ("rerank", timings.rerank),
            ("highlight", timings.highlight),
            ("answer", timings.answer),
            ("explain", timings.explain),
            ("facets", timings.facets),
            ("total", timings.total),
        ];
        for (stage, milliseconds) in stages.into_iter().filter(|(_, milliseconds)| *milliseconds > 0.0) {
            self.stage_times
                .get_or_create(&StageLabel { stage })
                .observe(milliseconds / 1e3);
        }
    }

    /// Notes the recall of the latest sampled searches.
    pub(crate) fn recall(&self, recall: f64) {
        self.recall.set(recall);
        self.recall_samples.inc();
    }

    /// Notes how many requests wait in a queue.
    pub(crate) fn waiting(&self, queue: &'static str, requests: usize) {
        self.waiting
            .get_or_create(&QueueLabel { queue })
            .set(signed(requests));
    }

    /// Notes what is in the index.
    pub(crate) fn index(&self, info: &StoreInfo) {
        self.documents.set(signed(info.documents));
        self.passages.set(signed(info.passages));
        self.generation
            .set(i64::try_from(info.generation).unwrap_or(i64::MAX));
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut out = String::new();
        text::encode(
            &mut out,
            &self.registry.lock().unwrap_or_else(PoisonError::into_inner),
        )?;
        Ok(out)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
