//! The whole pipeline over the store in memory.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod answers;
mod feedback;
#[path = "../support/mod.rs"]
mod support;

use std::sync::atomic::Ordering;

use corpus::{Filter, ReadStore, StoreError, TitleUse, WriteStore};
use infer::Embed;
use search::memory::MemoryStore;
use search::{
    AnswerRequest, Fusion, Mode, RerankRequest, SearchError, SearchRequest, SearchResponse, Searcher, Stage,
    Timings,
};
use serde_json::json;
use support::{DIMENSION, PairEmbedder, ShortFirst, Ticks, document, searcher, store};

fn roman() -> MemoryStore {
    let long = "The walls of Rome were long. ".repeat(20);
    let mut fire = document(
        "fire",
        "The Great Fire",
        "Rome burned in July. Nero sang while it burned.",
    );
    fire.metadata = serde_json::from_value(json!({"year": 64})).unwrap();
    let mut rust = document(
        "rust",
        "Rust",
        "A language without a garbage collector. Iron burned slowly.",
    );
    rust.metadata = serde_json::from_value(json!({"year": 2015})).unwrap();
    store(vec![fire, rust, document("walls", "Walls", &long)])
}

fn search(request: &SearchRequest) -> Result<SearchResponse, SearchError> {
    let (store, embed, ticks) = (roman(), PairEmbedder::default(), Ticks::default());
    searcher(&store, &embed, &ShortFirst(&ticks)).search(request)
}

fn ids(response: &SearchResponse) -> Vec<&str> {
    response.hits.iter().map(|hit| hit.document.as_str()).collect()
}

fn request(query: &str, mode: Mode) -> SearchRequest {
    SearchRequest {
        mode,
        ..SearchRequest::new(query)
    }
}

#[test]
fn lexical_finds_what_shares_a_word() {
    let response = search(&request("Nero burned", Mode::Lexical)).unwrap();
    assert_eq!(ids(&response), ["fire", "rust"]);
    assert_eq!((response.stage, response.generation), (Stage::Lexical, 1));
    let fire = &response.hits[0];
    let marked: Vec<&str> = fire
        .highlights
        .text
        .iter()
        .map(|&[a, b]| &fire.text[a..b])
        .collect();
    assert_eq!(marked, ["burned", "Nero", "burned"]);
    let [first, end] = fire.best_sentence.unwrap();
    assert_eq!(&fire.text[first..end], "Nero sang while it burned.");
    assert_eq!(fire.metadata["year"], serde_json::from_value(json!(64)).unwrap());
}

#[test]
fn dense_and_hybrid_rank_everything_within_depth() {
    for mode in [Mode::Dense, Mode::Hybrid] {
        let response = search(&request("Nero sang while it burned", mode)).unwrap();
        assert_eq!(response.total_candidates, 3);
        assert_eq!(response.hits[0].document.as_str(), "fire");
    }
}

#[test]
fn what_only_words_found_counts_with_its_cosine() {
    let store = store(vec![
        document("near", "", "qqrarex qqrarex"),
        document("nearer", "", "rarex qqrarez"),
        document("bird", "", "A rare bird."),
        document(
            "tale",
            "",
            "The rare and long tale of mountains, clouds and hidden vessels.",
        ),
    ]);
    let (embed, ticks) = (PairEmbedder::default(), Ticks::default());
    let rerank = ShortFirst(&ticks);
    let request = SearchRequest {
        depth: 2,
        explain: true,
        fusion: "weighted:0.4,0.6,0".parse().unwrap(),
        ..request("rare qqrare", Mode::Hybrid)
    };
    let response = searcher(&store, &embed, &rerank).search(&request).unwrap();
    let explained: Vec<_> = response
        .hits
        .iter()
        .filter_map(|hit| hit.explain.as_ref())
        .collect();
    let cosines: Vec<f32> = explained
        .iter()
        .filter_map(|one| Some(one.dense.as_ref()?.cosine))
        .collect();
    let (least, most) = cosines
        .iter()
        .fold((1.0_f32, -1.0_f32), |(least, most), &cosine| {
            (least.min(cosine), most.max(cosine))
        });
    let mut beyond = Vec::new();
    for one in explained {
        let (dense, fusion) = (one.dense.as_ref().unwrap(), one.fusion.as_ref().unwrap());
        let expected = (dense.cosine - least) / (most - least);
        assert!((fusion.dense.value - expected).abs() < 1e-5, "{one:?}");
        if dense.rank.is_none() {
            beyond.push(fusion.dense.value);
        }
    }
    assert_eq!(beyond.len(), 2, "{beyond:?}");
    assert!(beyond.iter().any(|&value| value > 0.0), "{beyond:?}");
}

#[test]
fn passages_of_a_document_stand_together() {
    let mut walls = request("walls of rome", Mode::Lexical);
    let grouped = search(&walls).unwrap();
    let hit = grouped
        .hits
        .iter()
        .find(|hit| hit.document.as_str() == "walls")
        .unwrap();
    assert!(hit.passages.len() > 1);
    assert!(
        hit.passages
            .iter()
            .all(|other| other.chunk != hit.chunk && other.score <= hit.score)
    );
    walls.group = false;
    let single = search(&walls).unwrap();
    assert_eq!(
        single.total_candidates,
        grouped.total_candidates + hit.passages.len()
    );
    assert!(single.hits.iter().all(|hit| hit.passages.is_empty()));
}

#[test]
fn filters_hold_in_every_mode() {
    for mode in [Mode::Lexical, Mode::Dense, Mode::Hybrid] {
        let mut request = request("burned rome", mode);
        let filter = json!({"range": {"year": {"lt": 1000}}});
        request.filter = Some(Filter::from_json(&filter).unwrap());
        assert_eq!(ids(&search(&request).unwrap()), ["fire"]);
    }
}

#[test]
fn a_weight_says_how_much_the_cross_encoder_counts() {
    let mut request = request("walls of rome", Mode::Hybrid);
    request.fusion = "weighted:0.4,0.6,0".parse().unwrap();
    let before = search(&request).unwrap();
    let mut ask = |weight| {
        request.explain = true;
        request.rerank = Some(RerankRequest {
            weight: Some(weight),
            ..RerankRequest::default()
        });
        search(&request).unwrap()
    };
    let (none, all) = (ask(0.0), ask(1.0));
    assert_eq!(ids(&none), ids(&before));
    assert_ne!(ids(&all), ids(&before));
    for hit in none.hits.iter().chain(&all.hits) {
        let rerank = hit.explain.as_ref().unwrap().rerank.unwrap();
        assert_eq!(hit.score, rerank.combined);
        assert!(rerank.weight == 0.0 || rerank.combined == rerank.score);
    }
}

#[test]
fn reranking_reorders_the_top_and_leaves_the_rest() {
    let mut request = request("Rome burned", Mode::Hybrid);
    request.group = false;
    request.fusion = "weighted:0.4,0.6,0".parse().unwrap();
    let before = search(&request).unwrap();
    request.rerank = Some(RerankRequest {
        top: 2,
        ..RerankRequest::default()
    });
    request.explain = true;
    let after = search(&request).unwrap();
    assert_eq!(after.stage, Stage::Reranked);
    assert_eq!(after.degraded, None);
    assert!(after.hits[0].text.len() <= after.hits[1].text.len());
    assert_eq!(after.hits[0].stage, Stage::Reranked);
    for (a, b) in after.hits.iter().zip(&before.hits).skip(2) {
        assert_eq!(
            (&a.document, a.chunk, a.score, a.stage),
            (&b.document, b.chunk, b.score, Stage::Hybrid)
        );
    }
    let explained = after.hits[0].explain.as_ref().unwrap().rerank.unwrap();
    assert_eq!((explained.score, explained.rank_after), (after.hits[0].score, 1));
}

#[test]
fn a_budget_that_runs_out_is_told() {
    let documents = (0..40).map(|i| document(&format!("d{i}"), "", &format!("rome {i}")));
    let (store, embed, ticks) = (
        store(documents.collect()),
        PairEmbedder::default(),
        Ticks::default(),
    );
    let rerank = ShortFirst(&ticks);
    let mut request = request("rome", Mode::Lexical);
    request.rerank = Some(RerankRequest {
        top: 40,
        budget_ms: Some(15),
        ..RerankRequest::default()
    });
    let response = searcher(&store, &embed, &rerank).search(&request).unwrap();
    let degraded = response.degraded.unwrap();
    assert_eq!(
        degraded,
        "32 of 40 passages were reranked within the budget of 15 ms"
    );
    assert_eq!(
        (response.timings_ms.rerank, ticks.0.load(Ordering::Relaxed)),
        (20.0, 20)
    );
    let expected = Timings {
        rerank: 20.0,
        total: 20.0,
        ..Timings::default()
    };
    assert_eq!(response.timings_ms, expected);
}

#[test]
fn the_explanation_adds_up() {
    for fusion in [Fusion::default(), Fusion::Rrf { k: 60 }] {
        let mut request = request("Nero burned", Mode::Hybrid);
        (request.explain, request.fusion) = (true, fusion);
        let response = search(&request).unwrap();
        for hit in &response.hits {
            let explain = hit.explain.as_ref().unwrap();
            let (lexical, dense) = (explain.lexical.as_ref().unwrap(), explain.dense.unwrap());
            let fusion = explain.fusion.unwrap();
            let terms: f32 = lexical.terms.iter().map(|term| term.score).sum();
            assert!((terms - lexical.score).abs() < 1e-6);
            assert_eq!(lexical.rank.is_none(), lexical.terms.is_empty());
            assert!(dense.cosine > 0.0, "also for what only the lexical list held");
            assert_eq!(fusion.score, hit.score);
            let sum = fusion.lexical.contribution + fusion.dense.contribution;
            assert!((sum - hit.score).abs() < 1e-6);
            let product = fusion.dense.weight * fusion.dense.value;
            assert_eq!(product, fusion.dense.contribution);
            assert!(explain.rerank.is_none());
        }
        let last = response.hits.last().unwrap().explain.as_ref().unwrap();
        assert_eq!(last.lexical.as_ref().unwrap().rank, None);
        assert_eq!(last.fusion.unwrap().lexical.contribution, 0.0);
    }
}

#[test]
fn the_cosine_is_given_for_what_the_dense_list_left_out() {
    let mut request = request("Nero burned", Mode::Hybrid);
    (request.explain, request.depth) = (true, 1);
    request.query = "language iron".to_owned();
    let response = search(&request).unwrap();
    let explained = response.hits.iter().map(|hit| hit.explain.as_ref().unwrap());
    assert!(
        explained
            .clone()
            .all(|explain| explain.dense.unwrap().cosine > 0.0)
    );
    assert!(response.hits.len() <= 2);
}

#[test]
fn a_batch_answers_as_single_searches_do() {
    let modes = [Mode::Lexical, Mode::Dense, Mode::Hybrid, Mode::Lexical];
    let requests = modes.map(|mode| request("Rome burned", mode));
    let (store, embed, ticks) = (roman(), PairEmbedder::default(), Ticks::default());
    let rerank = ShortFirst(&ticks);
    let searcher = searcher(&store, &embed, &rerank);
    let batch = searcher.search_batch(&requests).unwrap();
    assert_eq!(
        embed.calls.lock().unwrap().as_slice(),
        [["Rome burned", "Rome burned"]]
    );
    let single: Vec<_> = requests.iter().map(|one| searcher.search(one).unwrap()).collect();
    assert_eq!(batch, single);
}

#[test]
fn a_missing_or_other_model_is_an_error_and_never_a_quiet_fallback() {
    let (store, embed, ticks) = (roman(), PairEmbedder::default(), Ticks::default());
    let bare = Searcher {
        store: &store,
        embed: None,
        rerank: None,
        read: None,
        clock: &ticks,
    };
    for mode in [Mode::Dense, Mode::Hybrid] {
        let answer = bare.search(&request("rome", mode));
        assert!(matches!(answer, Err(SearchError::NoEmbedder(at)) if at == mode));
    }
    let mut lexical = request("rome", Mode::Lexical);
    assert!(bare.search(&lexical).is_ok());
    lexical.rerank = Some(RerankRequest::default());
    assert!(matches!(bare.search(&lexical), Err(SearchError::NoReranker)));
    (lexical.rerank, lexical.answer) = (None, Some(AnswerRequest::default()));
    assert!(matches!(bare.search(&lexical), Err(SearchError::NoReader)));

    let mut other = MemoryStore::new(DIMENSION, "another", TitleUse::Join);
    other.commit().unwrap();
    let rerank = ShortFirst(&ticks);
    let answer = searcher(&other, &embed, &rerank).search(&SearchRequest::new("rome"));
    match answer {
        Err(SearchError::Store(StoreError::OtherModel { expected, found })) => {
            assert_eq!(
                (expected.as_str(), found.as_str()),
                ("another", embed.fingerprint())
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_empty_store_has_no_hits() {
    let (store, embed, ticks) = (store(Vec::new()), PairEmbedder::default(), Ticks::default());
    let rerank = ShortFirst(&ticks);
    let mut request = SearchRequest::new("rome");
    (request.explain, request.rerank) = (true, Some(RerankRequest::default()));
    request.answer = Some(AnswerRequest::default());
    let response = searcher(&store, &embed, &rerank).search(&request).unwrap();
    assert_eq!((response.hits.len(), response.total_candidates), (0, 0));
    let answer = response.answer.unwrap();
    assert_eq!(
        (answer.best, answer.margin, answer.passages_read),
        (None, None, 0)
    );
    assert_eq!(store.info().passages, 0);
}

#[test]
fn the_answer_has_the_documented_json() {
    let mut request = request("Nero", Mode::Lexical);
    request.limit = 1;
    let response = serde_json::to_value(search(&request).unwrap()).unwrap();
    let hit = &response["hits"][0];
    assert_eq!(response["stage"], "lexical");
    assert_eq!(hit["span"], json!([0, 47]));
    assert_eq!(hit["highlights"], json!({"title": [], "text": [[21, 25]]}));
    assert_eq!(hit["best_sentence"], json!([21, 47]));
    assert!(hit.get("explain").is_none());
}
