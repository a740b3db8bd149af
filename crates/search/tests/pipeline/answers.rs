//! A reader over the best passages.

use super::*;

/// Four documents with a number each, the shortest last by BM25 and first by reranking.
fn numbered() -> MemoryStore {
    store(vec![
        document("three", "", "rome rome rome rome 3 in the year of it"),
        document("seven", "", "rome rome rome 7 in the year"),
        document("nine", "", "rome rome 9 in it"),
        document("none", "", "rome"),
    ])
}

fn answered(request: &SearchRequest) -> SearchResponse {
    let (store, embed, ticks) = (numbered(), PairEmbedder::default(), Ticks::default());
    searcher(&store, &embed, &ShortFirst(&ticks))
        .search(request)
        .unwrap()
}

#[test]
fn an_answer_is_the_best_of_the_passages_that_were_read() {
    let mut request = request("rome", Mode::Lexical);
    let order: Vec<String> = answered(&request)
        .hits
        .iter()
        .map(|hit| hit.document.as_str().to_owned())
        .collect();
    assert!(answered(&request).answer.is_none(), "not asked for");
    request.answer = Some(AnswerRequest::default());
    let response = answered(&request);
    let answer = response.answer.unwrap();
    assert_eq!(
        (answer.margin, answer.threshold, answer.passages_read),
        (Some(9.0), 1.0, 4)
    );
    assert!(answer.passages.is_none(), "only with explanations");
    let best = answer.best.unwrap();
    assert_eq!(
        (best.text.as_str(), best.document.as_str(), best.chunk),
        ("9", "nine", 0)
    );
    assert_eq!(&best.passage[best.span[0]..best.span[1]], "9");
    assert_eq!(best.document_span, best.span);
    assert_eq!(order[best.rank - 1], "nine");
    assert_eq!(
        (response.timings_ms.answer, response.timings_ms.total),
        (10.0, 10.0)
    );

    // It does not depend on the page.
    (request.limit, request.offset) = (1, 3);
    let other = answered(&request);
    assert_eq!(other.hits.len(), 1);
    assert_eq!(other.answer.unwrap().best.unwrap(), best);

    // What is not read cannot answer, and what was read is listed in its order.
    (request.offset, request.explain) = (0, true);
    request.answer = Some(AnswerRequest {
        passages: 2,
        ..AnswerRequest::default()
    });
    let two = answered(&request).answer.unwrap();
    let read = two.passages.unwrap();
    let read: Vec<&str> = read.iter().map(|one| one.document.as_str()).collect();
    assert_eq!(
        (read.as_slice(), two.passages_read),
        (&[order[0].as_str(), order[1].as_str()][..], 2)
    );
}

#[test]
fn no_answer_is_said_and_never_forced() {
    let mut request = request("rome", Mode::Lexical);
    for (threshold, answers) in [(8.5, true), (9.0, false), (1000.0, false)] {
        request.answer = Some(AnswerRequest {
            threshold: Some(threshold),
            ..AnswerRequest::default()
        });
        let answer = answered(&request).answer.unwrap();
        assert_eq!((answer.threshold, answer.margin), (threshold, Some(9.0)));
        assert_eq!(answer.best.is_some(), answers, "{threshold}");
        let json = serde_json::to_value(&answer).unwrap();
        assert_eq!(json["best"].is_null(), !answers);
        assert_eq!(json["passages_read"], 4);
    }
}

#[test]
fn reading_follows_the_reranked_order() {
    let mut request = request("rome", Mode::Lexical);
    request.rerank = Some(RerankRequest::default());
    request.answer = Some(AnswerRequest {
        passages: 1,
        ..AnswerRequest::default()
    });
    let response = answered(&request);
    assert_eq!(response.hits[0].document.as_str(), "none", "the shortest");
    let answer = response.answer.unwrap();
    assert_eq!((answer.best, answer.margin), (None, Some(-5.0)));
}

#[test]
fn an_answer_stands_in_its_document_and_under_its_hit() {
    let text = format!("{}rome 4 {}", "walls of rome ".repeat(30), "and more ".repeat(30));
    let store = store(vec![document("long", "", &text)]);
    let (embed, ticks) = (PairEmbedder::default(), Ticks::default());
    let mut request = request("walls rome", Mode::Lexical);
    request.answer = Some(AnswerRequest::default());
    let response = searcher(&store, &embed, &ShortFirst(&ticks))
        .search(&request)
        .unwrap();
    let best = response.answer.unwrap().best.unwrap();
    let [first, end] = best.document_span;
    assert_eq!((&text[first..end], best.rank), ("4", 1));
    assert!(best.chunk > 0 && first > best.span[0]);
}

#[test]
fn a_reading_that_runs_out_of_time_is_told_beside_the_reranking() {
    let documents = (0..40).map(|i| document(&format!("d{i}"), "", &format!("rome {i}")));
    let store = store(documents.collect());
    let (embed, ticks) = (PairEmbedder::default(), Ticks::default());
    let mut request = request("rome", Mode::Lexical);
    request.rerank = Some(RerankRequest {
        top: 40,
        budget_ms: Some(15),
        ..RerankRequest::default()
    });
    request.answer = Some(AnswerRequest {
        passages: 12,
        budget_ms: Some(15),
        ..AnswerRequest::default()
    });
    let response = searcher(&store, &embed, &ShortFirst(&ticks))
        .search(&request)
        .unwrap();
    assert_eq!(
        response.degraded.unwrap(),
        "32 of 40 passages were reranked within the budget of 15 ms; \
         8 of 12 passages were read for an answer within the budget of 15 ms"
    );
    assert_eq!(response.answer.unwrap().passages_read, 8);
}
