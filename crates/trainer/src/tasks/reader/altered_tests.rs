#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
use super::*;

fn words_of(text: &str) -> Vec<&str> {
    words(text).into_iter().map(|word| &text[word]).collect()
}

fn names_of(text: &str) -> Vec<&str> {
    names(text, &words(text))
        .into_iter()
        .map(|name| &text[name])
        .collect()
}

#[test]
fn words_keep_the_marks_inside_them() {
    assert_eq!(
        words_of("In 1,000 years, the U.S. won't-- 'go' (é)."),
        ["In", "1,000", "years", "the", "U.S", "won't", "go", "é"]
    );
    assert!(words("?! ,").is_empty());
}

#[test]
fn names_are_capitals_that_no_sentence_begins_with() {
    assert_eq!(
        names_of("Who led the Red Army in Kiev? The Red Cross, and I."),
        ["Red Army", "Kiev", "Red Cross"]
    );
    assert_eq!(names_of("\"Rome burned. Nero sang"), [""; 0]);
}

/// Every text that can come out of a question.
fn all_changes(question: &str, paragraph: &str, others: &[&str]) -> Vec<String> {
    let stock = Stock::of(others.iter().copied());
    let drawn = (0..200).filter_map(|seed| {
        let mut random = random::stream(seed, "test", 0);
        stock.alter(question, paragraph, &mut random)
    });
    let mut all: Vec<String> = drawn.collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn one_thing_is_changed_and_what_comes_instead_stands_nowhere() {
    let paragraph = "In 1914 Anna Berg won the first Nobel Prize of Oslo.";
    let others = [
        paragraph,
        "Later, in 1915 and 20, Carl came to Oslo with the smaller prize of 1914.",
    ];
    assert_eq!(
        all_changes("Who won the first Nobel Prize in 1914?", paragraph, &others),
        [
            "Who lost the first Nobel Prize in 1914?",
            "Who won the first Carl in 1914?",
            "Who won the first Nobel Prize in 1915?",
            "Who won the last Nobel Prize in 1914?",
        ]
    );
    // What the paragraph does not have cannot be what it answers by, and there is nothing else to change.
    assert!(all_changes("Who came in 1939 with Dora?", paragraph, &others).is_empty());
    // A part of a name has no opposite, nor may it stand in the paragraph.
    assert!(all_changes("What is New Haven?", "New Haven is a town.", &[]).is_empty());
    assert!(all_changes("Which one was before?", "It was before and after.", &[]).is_empty());
}

#[test]
fn whole_words_are_looked_for() {
    let text = Folded::new("Der Übermut, 1914");
    assert!(text.has("übermut") && text.has("1914"));
    assert!(!text.has("bermut") && !text.has("191") && !text.has("der über"));
}
