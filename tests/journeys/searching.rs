//! Questions, and how the answers are shown.

use crate::fixture::{Journey, lines};

fn journey() -> Journey {
    let journey = Journey::new();
    let document = |id: &str, title: &str, text: &str, lang: &str| {
        serde_json::json!({"id": id, "title": title, "text": text, "lang": lang}).to_string()
    };
    let documents = [
        document(
            "bridge",
            "The bridge",
            "The bridge over the river was built of granite. It is old.",
            "en",
        ),
        document(
            "tower",
            "The tower",
            "The tower leans because it stands on clay.",
            "en",
        ),
        document("br", "Die Brücke", "Die Brücke aus Granit. The bridge.", "de"),
    ];
    journey.put("in.jsonl", documents.join("\n"));
    journey.cloze(&["index", "in.jsonl"]).well();
    journey
}

#[test]
fn an_answer_is_plain_when_piped_and_coloured_on_request() {
    let journey = journey();
    let plain = journey.cloze(&["search", "granite bridge", "--explain"]).well();
    assert!(!plain.out.contains('\u{1b}'), "{plain:?}");
    assert!(plain.out.starts_with(" 1  "), "{plain:?}");
    for part in [
        "The bridge over the river was built of granite.",
        "lang: en",
        "lexical  rank 1, BM25",
        "dense    rank",
        "cosine",
        "fusion   weighted: 0.4 ×",
        "candidates, hybrid,",
        "embed",
    ] {
        assert!(plain.out.contains(part), "{part} in {plain:?}");
    }
    let coloured = journey
        .cloze(&["search", "granite bridge", "--explain", "--color", "always"])
        .well();
    assert!(coloured.out.contains("\u{1b}["), "{coloured:?}");
}

#[test]
fn modes_fusions_and_filters_are_followed() {
    let journey = journey();
    assert_eq!(journey.found(&["leaning clay", "--mode", "lexical"]), ["tower"]);
    assert_eq!(journey.found(&["clay", "--mode", "dense"]).len(), 3);
    assert_eq!(journey.found(&["clay", "--fusion", "rrf"])[0], "tower");
    assert_eq!(journey.found(&["clay", "--fusion", "weighted:1,0"])[0], "tower");
    assert_eq!(
        journey.found(&["bridge", "--filter", r#"{"eq": {"lang": "de"}}"#]),
        ["br"]
    );
    assert_eq!(
        journey.found(&["bridge", "--limit", "1", "--offset", "1"]).len(),
        1
    );
    assert!(journey.found(&["\"AND (", "--mode", "lexical"]).is_empty());
}

#[test]
fn wrong_options_are_named_with_what_is_accepted() {
    let journey = journey();
    for (arguments, expected) in [
        (["--limit", "0"], "limit is 0; accepted: 1 to"),
        (
            ["--filter", r#"{"like": 1}"#],
            "filter.like: unknown operator; accepted: an object with one of eq",
        ),
        (["--fusion", "sum"], "accepted: weighted, weighted:LEXICAL,DENSE"),
        (["--mode", "magic"], "possible values: lexical, dense, hybrid"),
    ] {
        let said = journey.cloze(&[&["search", "x"], &arguments[..]].concat());
        assert!(said.code == 2 && said.err.contains(expected), "{said:?}");
    }
    let said = journey.cloze(&["search", "x", "--index", "nowhere"]);
    assert!(
        said.code == 1 && said.err.contains("cannot open the index nowhere"),
        "{said:?}"
    );
}

#[test]
fn every_command_helps() {
    let journey = Journey::new();
    for command in [
        "index",
        "search",
        "serve",
        "inspect",
        "verify",
        "swap-model",
        "demo",
        "train",
        "eval",
    ] {
        let said = journey.cloze(&[command, "--help"]).well();
        assert!(said.out.contains("Usage: cloze"), "{said:?}");
    }
}

#[test]
fn a_query_may_have_a_syntax() {
    let journey = Journey::new();
    journey.put(
        "in.jsonl",
        lines(&[
            "the granite bridge of the town",
            "a bridge of granite",
            "granite quarry",
            "town hall",
        ]),
    );
    journey
        .cloze(&["index", "in.jsonl", "--bm25-k1", "0.9", "--bm25-b", "0.4"])
        .well();
    let found = |query: &str| journey.found(&["--mode", "lexical", "--syntax", "query", query]);
    assert_eq!(found("\"granite bridge\""), ["0"]);
    assert_eq!(found("gran* -bridge"), ["2"]);
    assert_eq!(found("granite +town"), ["0", "3"]);
    let said = journey.cloze(&[
        "search",
        "--mode",
        "lexical",
        "--syntax",
        "query",
        "granite \"bridge",
    ]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("byte 8 of the query"), "{said:?}");
    let said = journey.cloze(&["search", "--syntax", "query", "granite"]);
    assert!(
        said.err.contains("lexical"),
        "vectors know no conditions: {said:?}"
    );
    let said = journey.cloze(&["index", "in.jsonl", "--bm25-k1", "2"]);
    assert!(said.code == 1 && said.err.contains("0.9"), "{said:?}");
}

#[test]
fn words_are_matched_as_the_index_was_told_to() {
    let journey = Journey::new();
    let records = [
        r#"{"id": "a", "title": "Granite", "text": "A bridge in the old town.", "kind": "bridge", "year": 1900}"#,
        r#"{"id": "b", "title": "Bridges", "text": "Granite is a rock. Granite is hard.", "kind": ["rock", "bridge"], "year": 1910}"#,
        r#"{"id": "c", "title": "Cars", "text": "The automobile of 1900.", "kind": "car", "year": 1900}"#,
    ];
    journey.put("in.jsonl", records.join("\n"));
    journey.put(
        "same.txt",
        "# kinds of car\ncar, automobile, motor vehicle\nwagon => automobile\n",
    );
    let index = [
        "index",
        "in.jsonl",
        "--title-weight",
        "5",
        "--synonyms",
        "same.txt",
    ];
    journey.cloze(&index).well();
    let lexical = |rest: &[&str]| journey.found(&[&["--mode", "lexical"], rest].concat());
    assert_eq!(lexical(&["granite"]), ["a", "b"], "five times in the title of a");
    assert_eq!(lexical(&["motor vehicles"]), ["c"]);
    assert_eq!(lexical(&["wagon"]), ["c"]);
    assert_eq!(lexical(&["granitt"]), [""; 0]);
    assert_eq!(lexical(&["granitt", "--typos"]), ["a", "b"]);
    let facets = |rest: &[&str]| {
        let search = [
            "search", "--json", "--facet", "kind", "--facet", "year", "granite",
        ];
        journey.cloze(&[&search, rest].concat()).well().json()["facets"].clone()
    };
    let kinds = |facets: &serde_json::Value| facets["kind"]["values"].clone();
    let found = facets(&["--mode", "lexical"]);
    assert_eq!(
        kinds(&found),
        serde_json::json!([{"value": "bridge", "documents": 2}, {"value": "rock", "documents": 1}])
    );
    assert_eq!(found["year"]["more"], 0);
    let all = facets(&[]);
    assert_eq!(
        kinds(&all)[1],
        serde_json::json!({"value": "car", "documents": 1})
    );
    let of_1900 = facets(&["--filter", r#"{"eq": {"year": 1900}}"#]);
    assert_eq!(
        kinds(&of_1900)[0],
        serde_json::json!({"value": "bridge", "documents": 1})
    );
    let shown = journey.cloze(&["search", "granite", "--facet", "year"]).well();
    assert!(shown.out.contains("year  1900 (2), 1910 (1)"), "{shown:?}");
    // Synonyms stay when nothing is said of them, are refused whole, and are taken away by an empty file.
    journey.cloze(&["index", "in.jsonl"]).well();
    assert_eq!(lexical(&["wagon"]), ["c"]);
    journey.put("wrong.txt", "cart, wagon\nalone\n");
    let said = journey.cloze(&["index", "in.jsonl", "--synonyms", "wrong.txt"]);
    assert!(
        said.code == 1 && said.err.contains("line 2 of the synonyms"),
        "{said:?}"
    );
    assert_eq!(lexical(&["cart"]), [""; 0]);
    journey.put("none.txt", "");
    journey
        .cloze(&["index", "in.jsonl", "--synonyms", "none.txt"])
        .well();
    assert_eq!(lexical(&["wagon"]), [""; 0]);
    assert_eq!(lexical(&["automobiles"]), ["c"]);
}

#[test]
fn texts_without_spaces_are_found_by_pairs_of_characters() {
    let journey = Journey::new();
    journey.put(
        "in.jsonl",
        lines(&["東京都の天気は晴れ", "京都の天気は雨", "서울의 날씨"]),
    );
    journey.cloze(&["index", "in.jsonl", "--language", "cjk"]).well();
    let found = |query: &str| journey.found(&["--mode", "lexical", query]);
    assert_eq!(found("京都")[0], "1");
    assert_eq!(found("雨"), ["1"]);
    assert_eq!(found("서울"), ["2"]);
    assert_eq!(
        journey.found(&["--mode", "lexical", "--syntax", "query", "\"東京\""]),
        ["0"]
    );
}
