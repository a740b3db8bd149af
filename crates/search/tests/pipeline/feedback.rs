//! Feedback of the first passage, against its definition.

use proptest::prelude::*;

use super::*;

fn weighted(feedback: f32) -> Fusion {
    Fusion::Weighted {
        lexical: 0.4,
        dense: 0.6,
        feedback,
    }
}

fn asked(query: &str, fusion: Fusion) -> SearchRequest {
    SearchRequest {
        fusion,
        explain: true,
        limit: 1000,
        group: false,
        ..SearchRequest::new(query)
    }
}

/// The cosine of two texts as the store embeds them.
fn cosine(a: &str, b: &str) -> f32 {
    let vectors = PairEmbedder::default()
        .embed(&[a, b], infer::Role::Passage)
        .unwrap();
    vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum()
}

/// The order of the passages by the definition, from the response without feedback.
fn by_definition(query: &str, before: &SearchResponse, weight: f32) -> Vec<(String, f32)> {
    let first = &before.hits[0].text;
    let moved = |text: &str| cosine(query, text) + weight * cosine(first, text);
    let scores: Vec<f32> = before.hits.iter().map(|hit| moved(&hit.text)).collect();
    let stretched = search::fusion::weighted::min_max(&scores);
    let fused = before.hits.iter().zip(stretched).map(|(hit, dense)| {
        let lexical = hit.explain.as_ref().unwrap().fusion.unwrap().lexical.contribution;
        (hit.document.as_str().to_owned(), lexical + 0.6 * dense)
    });
    fused.collect()
}

proptest! {
    #[test]
    fn scores_follow_the_definition(
        texts in prop::collection::vec("(clay|boat|sail|rome|iron|wall|fire|sea)( (clay|boat|sail|rome|iron|wall|fire|sea)){0,8}", 1..12),
        weight in 0.01f32..3.0,
    ) {
        let documents = texts.iter().enumerate().map(|(i, text)| document(&format!("d{i}"), "", text));
        let (store, embed, ticks) = (store(documents.collect()), PairEmbedder::default(), Ticks::default());
        let rerank = ShortFirst(&ticks);
        let searcher = searcher(&store, &embed, &rerank);
        let query = "the fire of rome";
        let before = searcher.search(&asked(query, weighted(0.0))).unwrap();
        prop_assert!(before.hits.iter().all(|hit| hit.explain.as_ref().unwrap().feedback.is_none()));
        let after = searcher.search(&asked(query, weighted(weight))).unwrap();
        let expected = by_definition(query, &before, weight);
        prop_assert_eq!(after.hits.len(), expected.len());
        for hit in &after.hits {
            let at = expected.iter().position(|(document, _)| document == hit.document.as_str()).unwrap();
            prop_assert!((hit.score - expected[at].1).abs() < 1e-4, "{} {}", hit.score, expected[at].1);
            let explain = hit.explain.as_ref().unwrap();
            prop_assert_eq!(explain.feedback.unwrap().rank_before, at + 1);
            prop_assert_eq!(explain.dense.unwrap().cosine, before.hits[at].explain.as_ref().unwrap().dense.unwrap().cosine);
        }
        prop_assert!(after.hits.windows(2).all(|pair| pair[0].score >= pair[1].score));
    }
}

#[test]
fn one_list_ranks_alone_or_a_cross_encoder_have_no_feedback() {
    let reranked = Some(RerankRequest::default());
    for (mode, fusion, rerank) in [
        (Mode::Lexical, weighted(1.0), None),
        (Mode::Dense, weighted(1.0), None),
        (Mode::Hybrid, Fusion::Rrf { k: 60 }, None),
        (Mode::Hybrid, weighted(1.0), reranked),
    ] {
        let request = SearchRequest {
            mode,
            rerank,
            ..asked("walls of rome", fusion)
        };
        let response = search(&request).unwrap();
        let explained = response.hits.iter().filter_map(|hit| hit.explain.as_ref());
        assert!(explained.clone().count() > 0);
        assert!(explained.clone().all(|one| one.feedback.is_none()), "{mode}");
    }
}
