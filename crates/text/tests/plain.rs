//! The fast way for plain texts, against the general one.
#![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]

use proptest::prelude::*;
use text::Tokenizer;
use text::vocabulary::{Settings, train};

fn tokenizer(lower_case: bool) -> Tokenizer {
    let texts = [
        "The Great Fire of Rome burned for six days; Nero sang, they say: \"O Rome!\"",
        "unbelievable believers believed in un-believing 0123456789 (3.14, e-mail@example.org)",
    ];
    let settings = Settings {
        size: 220,
        min_frequency: 1,
        alphabet_max: 70,
        lower_case,
        ..Settings::default()
    };
    train(texts.into_iter().map(str::to_owned), settings).unwrap()
}

fn check(tokenizer: &Tokenizer, text: &str, max_tokens: usize) {
    let expected = tokenizer.encode(text, max_tokens).unwrap().ids;
    assert_eq!(tokenizer.ids(text, max_tokens).unwrap(), expected, "{text:?}");
    let whole = tokenizer.encode(text, 1 << 20).unwrap().len();
    assert_eq!(
        tokenizer.count_tokens(text).unwrap() + tokenizer.special_count(false),
        whole,
        "{text:?}"
    );
}

#[test]
fn corners_are_those_of_the_general_way() {
    for tokenizer in [tokenizer(true), tokenizer(false)] {
        let long = "rome".repeat(25);
        let longer = format!("{long}s");
        for text in [
            "",
            " ",
            "Rome",
            "a\u{0}b",
            "a\tb\nc\rd\u{b}e\u{c}f\u{1c}g\u{1f}h\u{7f}i",
            "[CLS] x [MASK]",
            "[cls]",
            "[ MASK ]",
            "##ing",
            "un##believ",
            "a##b",
            "...",
            "e-mail@example.org!",
            &long,
            &longer,
            "qqqq zzzz",
            "Ünbelievable",
            "日本 Rome",
        ] {
            for max_tokens in [3, 4, 7, 512] {
                check(&tokenizer, text, max_tokens);
            }
        }
        assert!(
            tokenizer.ids("rome", 2).is_err(),
            "no room beside the special tokens"
        );
    }
}

#[test]
fn every_byte_between_letters() {
    for tokenizer in [tokenizer(true), tokenizer(false)] {
        for byte in 0..128u8 {
            check(
                &tokenizer,
                &format!("Fire{}Rome {}s", char::from(byte), char::from(byte)),
                64,
            );
        }
    }
}

proptest! {
    #[test]
    fn any_text(text in "([ -~]|[\\x00-\\x7f]|rome|Believ|un|##|[\\[\\]]|é|\u{301}|\u{a0}|\u{200b}|日|–|\u{2028}|\u{85}|İ|ß){0,60}", max_tokens in 3usize..40) {
        for tokenizer in [tokenizer(true), tokenizer(false)] {
            check(&tokenizer, &text, max_tokens);
        }
    }
}
