//! Questions that the passages of an index answer, and questions that none of them does.

use serde_json::{Value, json};

use crate::fixture::{Journey, Server};

const ANSWERED: &str = "Who designed the lighthouse of Velmora?";
const UNANSWERED: &str = "How many moons has the planet Neptune?";

fn journey() -> Journey {
    let journey = Journey::new();
    let documents = [
        json!({"id": "lighthouse", "title": "The lighthouse", "text": "The lighthouse of Velmora stands on a rock. It \
            was designed by the engineer Maria Oslund and finished in 1873. Ships see it from far away."}),
        json!({"id": "harbour", "title": "The harbour", "text": "The harbour of Velmora is deep. Many ships come in \
            summer, and the fish market is open every day."}),
        json!({"id": "bread", "title": "Bread", "text": "Bread is made of flour, water and salt. Rye keeps longer \
            than wheat."}),
    ];
    journey.put("in.jsonl", documents.map(|one| one.to_string()).join("\n"));
    journey.cloze(&["index", "in.jsonl"]).well();
    journey
}

#[test]
fn a_search_answers_or_says_that_nothing_does() {
    let journey = journey();
    let ask = |question: &str, rest: &[&str]| {
        let search = ["search", question, "--answer", "bundled"];
        journey.cloze(&[&search, rest].concat()).well()
    };
    let answer = ask(ANSWERED, &["--json", "--limit", "1"]).json()["answer"].clone();
    let best = &answer["best"];
    assert_eq!(best["document"], "lighthouse", "{answer}");
    assert!(
        best["text"].as_str().unwrap().contains("Maria Oslund"),
        "{answer}"
    );
    let passage = best["passage"].as_str().unwrap();
    let [first, end] = [0, 1].map(|at| best["span"][at].as_u64().unwrap() as usize);
    assert_eq!(&passage[first..end], best["text"].as_str().unwrap());
    assert!(
        answer["margin"].as_f64() > answer["threshold"].as_f64(),
        "{answer}"
    );
    assert_eq!(answer["passages_read"], 3);

    let shown = ask(ANSWERED, &["--explain"]);
    assert!(shown.out.starts_with("answer  "), "{shown:?}");
    for part in [
        "Maria Oslund",
        "  lighthouse\n",
        "the best of 3 passages",
        "read     bread passage 1",
        "answer ",
    ] {
        assert!(shown.out.contains(part), "{part} in {shown:?}");
    }

    let none = ask(UNANSWERED, &["--json", "--answer-passages", "2"]).json()["answer"].clone();
    assert_eq!((&none["best"], &none["passages_read"]), (&Value::Null, &json!(2)));
    assert!(none["margin"].as_f64() <= none["threshold"].as_f64(), "{none}");
    let shown = ask(UNANSWERED, &[]);
    assert!(
        shown.out.starts_with("no answer  in the 3 passages read"),
        "{shown:?}"
    );
    // Only a threshold that is asked for lets it answer.
    let forced = ask(UNANSWERED, &["--json", "--answer-threshold", "-1000"]).json();
    assert_eq!(forced["answer"]["threshold"], -1000.0);
    assert!(forced["answer"]["best"].is_object(), "{forced}");
}

#[test]
fn wrong_options_of_an_answer_are_named() {
    let journey = journey();
    for (arguments, expected) in [
        (
            &["--answer", "bundled", "--answer-passages", "0"][..],
            "answer.passages is 0; accepted: 1 to 100",
        ),
        (
            &["--answer", "bundled", "--answer-threshold", "2000"],
            "answer.threshold is 2000; accepted: -1000 to 1000",
        ),
        (&["--answer-passages", "3"], "--answer <NAME|DIR>"),
        (
            &["--answer", "bundled", "--syntax", "query", "--mode", "lexical"],
            "without reranking and answer",
        ),
    ] {
        let said = journey.cloze(&[&["search", "x"], arguments].concat());
        assert!(said.code == 2 && said.err.contains(expected), "{said:?}");
    }
    let said = journey.cloze(&["search", "x", "--answer", "nowhere"]);
    assert!(
        said.code == 1 && said.err.contains("cannot open the reader \"nowhere\""),
        "{said:?}"
    );
}

#[test]
fn a_server_answers_over_its_port() {
    let journey = journey();
    let server = Server::start(&journey, &["--reader", "bundled"]);
    assert_eq!(server.ask("GET", "/readyz", &Value::Null)["reader"], "bundled");
    let ask = |query: &str, answer: Value| {
        server.send("POST", "/v1/search", &json!({"query": query, "answer": answer}))
    };
    let (status, response) = ask(ANSWERED, json!({"budget_ms": 60_000}));
    assert_eq!(status, 200, "{response}");
    let best = &response["answer"]["best"];
    assert!(
        best["text"].as_str().unwrap().contains("Maria Oslund"),
        "{response}"
    );
    let at = best["rank"].as_u64().unwrap() as usize - 1;
    assert_eq!(response["hits"][at]["document"], "lighthouse");
    assert_eq!(response["degraded"], Value::Null);
    let (_, response) = ask(UNANSWERED, json!({}));
    assert_eq!(response["answer"]["best"], Value::Null, "{response}");
    let (status, problem) = ask(ANSWERED, json!({"passages": 1000}));
    assert_eq!((status, &problem["field"]), (422, &json!("answer.passages")));

    let without = Server::start(&journey, &[]);
    let request = json!({"query": ANSWERED, "answer": {}});
    let (status, problem) = without.send("POST", "/v1/search", &request);
    assert_eq!((status, &problem["field"]), (501, &json!("answer")), "{problem}");
}
