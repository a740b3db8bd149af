//! The order of hits does not depend on which page is asked for, in any mode, with ties in plenty.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

mod support;

use proptest::prelude::*;
use search::{Fusion, Hit, Mode, RerankRequest, SearchRequest};
use support::{PairEmbedder, ShortFirst, Ticks, document, searcher, store};

/// Texts of very few words, so that many passages are the same; some are cut into several passages.
fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["rome", "burned", "rust"]), 1..80)
        .prop_map(|words| words[..words.len().min(if words.len() > 40 { 80 } else { 3 })].join(" "))
}

fn any_request() -> impl Strategy<Value = SearchRequest> {
    let mode = prop::sample::select(vec![Mode::Lexical, Mode::Dense, Mode::Hybrid]);
    let fusion = prop::sample::select(vec![Fusion::default(), Fusion::Rrf { k: 60 }]);
    let query = prop::sample::select(vec!["rome", "rust burned", "nothing"]);
    let rerank = prop::option::of(1usize..8);
    (query, mode, fusion, 8usize..30, any::<bool>(), rerank).prop_map(
        |(query, mode, fusion, depth, group, top)| SearchRequest {
            mode,
            fusion,
            depth,
            group,
            rerank: top.map(|top| RerankRequest {
                top,
                ..RerankRequest::default()
            }),
            explain: true,
            ..SearchRequest::new(query)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn pages_fit_together(
        texts in prop::collection::vec(any_text(), 1..30), request in any_request(), cuts in (1usize..12, 1usize..12),
    ) {
        let documents = texts.iter().enumerate().map(|(i, text)| document(&format!("d{i}"), "", text));
        let (store, embed, ticks) = (store(documents.collect()), PairEmbedder::default(), Ticks::default());
        let rerank = ShortFirst(&ticks);
        let searcher = searcher(&store, &embed, &rerank);
        let page = |offset, limit| -> Vec<Hit> {
            searcher.search(&SearchRequest { offset, limit, ..request.clone() }).unwrap().hits
        };
        let (first, second) = (page(0, cuts.0), page(cuts.0, cuts.1));
        let both = page(0, cuts.0 + cuts.1);
        prop_assert_eq!([first, second].concat(), both);
        let all = searcher.search(&SearchRequest { limit: 1000, ..request.clone() }).unwrap();
        prop_assert_eq!(all.hits.len(), all.total_candidates);
        let ranks: Vec<usize> = all.hits.iter().map(|hit| hit.rank).collect();
        prop_assert_eq!(ranks, (1..=all.hits.len()).collect::<Vec<_>>());
    }

    #[test]
    fn scores_of_one_stage_never_rise(
        texts in prop::collection::vec(any_text(), 1..30), request in any_request(),
    ) {
        let documents = texts.iter().enumerate().map(|(i, text)| document(&format!("d{i}"), "", text));
        let (store, embed, ticks) = (store(documents.collect()), PairEmbedder::default(), Ticks::default());
        let rerank = ShortFirst(&ticks);
        let hits = searcher(&store, &embed, &rerank).search(&request).unwrap().hits;
        for pair in hits.windows(2).filter(|pair| pair[0].stage == pair[1].stage) {
            prop_assert!(pair[0].score >= pair[1].score);
        }
    }
}
