//! Chunks cover the text, fit the limit and always end, on any text.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use std::error::Error;
use std::path::Path;

use proptest::prelude::*;
use text::Tokenizer;

type Outcome = Result<(), Box<dyn Error>>;

fn tiny() -> Result<Tokenizer, text::Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tiny");
    Tokenizer::from_files(|name| std::fs::read(folder.join(name)).ok())
}

/// What must hold for any text, limit and overlap.
fn check(text: &str, max_tokens: usize, overlap: usize) -> Outcome {
    let tokenizer = tiny()?;
    let chunks = tokenizer.chunk(text, max_tokens, overlap)?;
    assert_eq!(chunks.is_empty(), text.is_empty());
    let Some(last) = chunks.last() else { return Ok(()) };
    assert_eq!((chunks[0].start, last.end), (0, text.len()));
    for pair in chunks.windows(2) {
        assert!(
            pair[0].start < pair[1].start && pair[0].end < pair[1].end,
            "{pair:?}"
        );
        assert!(pair[1].start <= pair[0].end, "{pair:?}");
    }
    for chunk in &chunks {
        assert!(text.get(chunk.clone()).is_some(), "{chunk:?} is no slice");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_text_is_covered(
        text in "(the|fox|dog|jumps|\\.|!| |\n|é|東|🦀|\u{0}|\u{200b}|[a-z]{1,30}){0,120}",
        max_tokens in 3usize..40,
        overlap in 0usize..40,
    ) {
        let overlap = overlap.min(max_tokens - 3);
        check(&text, max_tokens, overlap).map_err(|e| TestCaseError::fail(e.to_string()))?;
    }

    #[test]
    fn chunks_of_words_fit_the_limit(
        words in prop::collection::vec("the|fox|dog|lazy|word\\.|abc", 1..200),
        max_tokens in 8usize..40,
    ) {
        let tokenizer = tiny().map_err(|e| TestCaseError::fail(e.to_string()))?;
        let text = words.join(" ");
        let chunks = tokenizer.chunk(&text, max_tokens, 2).map_err(|e| TestCaseError::fail(e.to_string()))?;
        for chunk in chunks {
            let tokens = tokenizer.count_tokens(&text[chunk]).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert!(tokens + 2 <= max_tokens, "{tokens}");
        }
    }
}

proptest! {
    #[test]
    fn chunks_are_few_and_equally_long(
        words in prop::collection::vec("the|fox|dog", 1..400),
        max_tokens in 8usize..60,
        overlap in 0usize..5,
    ) {
        let tokenizer = tiny().map_err(|e| TestCaseError::fail(e.to_string()))?;
        let text = words.join(" ");
        let chunks = tokenizer
            .chunk(&text, max_tokens, overlap)
            .map_err(|e| TestCaseError::fail(e.to_string()))?;
        let lengths: Vec<usize> = chunks.iter().map(|chunk| text[chunk.clone()].split_whitespace().count()).collect();
        let room = max_tokens - 2;
        let fewest = if words.len() <= room { 1 } else { (words.len() - overlap).div_ceil(room - overlap) };
        prop_assert_eq!(lengths.len(), fewest, "{:?}", lengths);
        let (least, most) = (lengths.iter().min(), lengths.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{lengths:?}");
    }
}

#[test]
fn a_chunk_ends_at_the_sentence_nearest_to_its_share() -> Outcome {
    let tokenizer = tiny()?;
    let text = "the fox the fox. the dog the dog. the fox the fox the fox the dog";
    // 18 tokens in two chunks of 9: the sentence that ends after 10 is nearer than the one that ends after 5.
    let chunks = tokenizer.chunk(text, 14, 0)?;
    let cut: Vec<&str> = chunks.iter().map(|chunk| &text[chunk.clone()]).collect();
    assert_eq!(
        cut,
        [
            "the fox the fox. the dog the dog. ",
            "the fox the fox the fox the dog"
        ]
    );
    Ok(())
}

#[test]
fn breaks_after_sentences_and_overlaps_by_words() -> Outcome {
    let tokenizer = tiny()?;
    let text = "the fox the fox the fox. the dog the dog the dog the dog";
    let chunks = tokenizer.chunk(text, 11, 2)?;
    assert_eq!(&text[chunks[0].clone()], "the fox the fox the fox. ");
    assert_eq!(&text[chunks[1].clone()], "fox. the dog the dog ");
    Ok(())
}

#[test]
fn hostile_texts_end() -> Outcome {
    for text in [
        "x".repeat(100_000),
        "x ".repeat(100_000),
        "\u{0}".repeat(100_000),
        "東".repeat(50_000),
        "\u{301}".repeat(70_000),
        " ".repeat(200_000),
        format!("  {}", "the fox ".repeat(1_000)),
        format!("{} the fox", "y".repeat(200_000)),
    ] {
        check(&text, 16, 4)?;
    }
    Ok(())
}

#[test]
fn a_text_of_many_blocks_is_cut_as_one() -> Outcome {
    // Longer than a block of tokenization; the sentences are equal, so all inner chunks must be equal too.
    let text = "the quick brown fox. ".repeat(10_000);
    let chunks = tiny()?.chunk(&text, 22, 0)?;
    assert_eq!(chunks.len(), 2_500);
    assert!(chunks.iter().all(|chunk| text[chunk.clone()] == text[..84]));
    Ok(())
}

#[test]
fn impossible_settings_are_refused() -> Outcome {
    let tokenizer = tiny()?;
    assert!(tokenizer.chunk("a", 2, 0).is_err());
    let error = tokenizer
        .chunk("a", 10, 8)
        .err()
        .map(|e| e.to_string())
        .unwrap_or_default();
    assert!(error.contains("overlap of 8"), "{error}");
    Ok(())
}
