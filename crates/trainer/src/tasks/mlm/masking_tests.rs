//! What holds for every sequence, over many random ones, and the shares over all of them.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use super::*;
use crate::random;

const SPECIAL: SpecialIds = SpecialIds {
    pad: 0,
    unknown: 1,
    cls: Some(2),
    sep: Some(3),
    mask: Some(4),
};
const VOCABULARY: usize = 5000;

fn mask(unit: Unit, share: f64) -> Mask {
    let settings = Masking {
        unit,
        ..Masking::default()
    };
    Mask::new(settings, share, SPECIAL, VOCABULARY).unwrap()
}

/// A framed sequence with words of 1 to 4 tokens, some of them unknown, and separators in between.
fn row(number: u64) -> Row {
    let mut random = random::stream(11, "rows of a test", number);
    let mut row = Row::default();
    let mut push = |id, continues| {
        row.ids.push(id);
        row.types.push(0);
        row.continues.push(continues);
    };
    push(2, false);
    for _ in 0..random.random_range(1..60) {
        match random.random_range(0..20) {
            0 => push(1, false),
            1 => push(3, false),
            _ => {
                for piece in 0..random.random_range(1..5) {
                    push(random.random_range(5..VOCABULARY as u32), piece > 0);
                }
            }
        }
    }
    push(3, false);
    row
}

/// The words of a row by their definition, token by token.
fn words(row: &Row) -> Vec<Vec<usize>> {
    let mut words: Vec<Vec<usize>> = Vec::new();
    for at in 0..row.ids.len() {
        let goes_on = row.continues[at] && row.ids[at - 1] >= 5;
        if row.ids[at] < 5 {
            continue;
        }
        if goes_on {
            words.last_mut().unwrap().push(at);
        } else {
            words.push(vec![at]);
        }
    }
    words
}

/// Hides tokens of many rows; each time `check` gets the row before and after and what was hidden.
fn over_rows(mask: &Mask, mut check: impl FnMut(&Row, &Row, &[(usize, u32)])) {
    for number in 0..2000 {
        let before = row(number);
        let mut after = before.clone();
        let hidden = mask.hide(&mut after, &mut random::stream(1, "test", number));
        check(&before, &after, &hidden);
    }
}

/// The number to hide, by its definition.
fn count(row: &Row, share: f64) -> usize {
    let tokens = row.ids.iter().filter(|&&id| id >= 5).count();
    ((tokens as f64 * share).round() as usize).max(1).min(tokens)
}

#[test]
fn special_tokens_stay_and_what_is_not_listed_is_unchanged() {
    for unit in [Unit::Token, Unit::Word, Unit::Span] {
        over_rows(&mask(unit, 0.15), |before, after, hidden| {
            assert!(hidden.is_sorted_by(|a, b| a.0 < b.0), "{unit:?}");
            for (at, (&was, &now)) in before.ids.iter().zip(&after.ids).enumerate() {
                match hidden.iter().find(|(place, _)| *place == at) {
                    Some(&(_, listed)) => {
                        assert!(listed == was && was >= 5, "{unit:?}");
                        assert!(now == 4 || now >= 5, "{unit:?}: {now} is special");
                    }
                    None => assert_eq!(was, now, "{unit:?}"),
                }
            }
            assert_eq!(
                (&before.types, &before.continues),
                (&after.types, &after.continues)
            );
        });
    }
}

#[test]
fn as_many_tokens_are_hidden_as_the_share_says() {
    for share in [0.15, 0.4] {
        for unit in [Unit::Token, Unit::Span] {
            over_rows(&mask(unit, share), |before, _, hidden| {
                assert_eq!(hidden.len(), count(before, share), "{unit:?}");
            });
        }
    }
}

#[test]
fn words_are_hidden_whole_and_as_many_as_fit() {
    over_rows(&mask(Unit::Word, 0.15), |before, _, hidden| {
        let is_hidden = |at: &usize| hidden.iter().any(|(place, _)| place == at);
        let words = words(before);
        for word in &words {
            let parts = word.iter().filter(|at| is_hidden(at)).count();
            assert!(parts == 0 || parts == word.len(), "{word:?} in {hidden:?}");
        }
        let count = count(before, 0.15);
        let shortest = words.iter().map(Vec::len).min().unwrap_or(0);
        if shortest > count {
            assert_eq!(hidden.len(), shortest);
            return;
        }
        assert!(hidden.len() <= count);
        let left = count - hidden.len();
        let would_fit = |word: &&Vec<usize>| word.len() <= left && !is_hidden(&word[0]);
        assert!(
            left == 0 || !words.iter().any(|word| would_fit(&word)),
            "{left} left"
        );
    });
}

#[test]
fn spans_begin_with_words_and_keep_their_bounds() {
    let mask = mask(Unit::Span, 0.15);
    for number in 0..2000 {
        let row = row(number);
        let words = words(&row);
        let ranges: Vec<Range<usize>> = words
            .iter()
            .map(|word| word[0]..word[word.len() - 1] + 1)
            .collect();
        let count = count(&row, 0.15);
        let spans = mask.choose_spans(&ranges, count, &mut random::stream(2, "test", number));
        assert_eq!(spans.iter().map(Vec::len).sum::<usize>(), count);
        for (at, span) in spans.iter().filter(|span| !span.is_empty()).enumerate() {
            assert!(words.iter().any(|word| word[0] == span[0]), "{span:?}");
            assert!(span.windows(2).all(|pair| pair[1] == pair[0] + 1), "{span:?}");
            assert!(span.iter().all(|&at| row.ids[at] >= 5), "{span:?}");
            let inside = words.iter().filter(|word| span.contains(&word[0])).count();
            assert!((1..=10).contains(&inside), "{inside} words");
            let is_last = at + 1 == spans.iter().filter(|span| !span.is_empty()).count();
            let ends_whole = words.iter().any(|word| word.last() == span.last());
            assert!(ends_whole || is_last, "{span:?}");
        }
    }
}

#[test]
fn lengths_of_spans_are_geometric() {
    let mask = mask(Unit::Span, 0.15);
    let (mut random, mut counts, draws) = (random::stream(3, "test", 0), [0usize; 11], 40_000);
    for _ in 0..draws {
        counts[mask.span_words(&mut random)] += 1;
    }
    let whole = 1.0 - 0.8f64.powi(10);
    for (length, &count) in counts.iter().enumerate().skip(1) {
        let expected = 0.2 * 0.8f64.powi(length as i32 - 1) / whole;
        let share = count as f64 / f64::from(draws);
        assert!(
            (share - expected).abs() < 0.008,
            "{length}: {share} for {expected}"
        );
    }
    assert_eq!(counts[0], 0);
}

#[test]
fn chosen_tokens_are_masked_replaced_and_kept_in_the_shares_of_the_settings() {
    for (unit, shares) in [
        (Unit::Token, [0.8, 0.1]),
        (Unit::Word, [0.8, 0.1]),
        (Unit::Span, [0.8, 0.1]),
        (Unit::Token, [0.5, 0.3]),
        (Unit::Token, [1.0, 0.0]),
    ] {
        let settings = Masking {
            unit,
            hidden: shares[0],
            random: shares[1],
            ..Masking::default()
        };
        let mask = Mask::new(settings, 0.15, SPECIAL, VOCABULARY).unwrap();
        let (mut counts, mut all) = ([0f64; 2], 0.0);
        over_rows(&mask, |_, after, hidden| {
            for &(at, was) in hidden {
                all += 1.0;
                match after.ids[at] {
                    4 => counts[0] += 1.0,
                    now if now != was => counts[1] += 1.0,
                    _ => {}
                }
            }
        });
        for (count, share) in counts.into_iter().zip(shares) {
            assert!((count / all - share).abs() < 0.02, "{unit:?}: {count} of {all}");
        }
    }
}

#[test]
fn every_place_is_chosen_equally_often() {
    let mask = mask(Unit::Token, 0.15);
    let mut counts = [0usize; 22];
    for number in 0..4000 {
        let mut row = Row {
            ids: (0..22)
                .map(|at| if at % 21 == 0 { 3 } else { 100 + at })
                .collect(),
            types: vec![0; 22],
            continues: vec![false; 22],
        };
        for (at, _) in mask.hide(&mut row, &mut random::stream(5, "test", number)) {
            counts[at] += 1;
        }
    }
    assert_eq!((counts[0], counts[21]), (0, 0));
    assert!(
        counts[1..21].iter().all(|count| (500..700).contains(count)),
        "{counts:?}"
    );
}

#[test]
fn settings_out_of_range_are_refused_by_name() {
    let message = |settings: Masking, share: f64| {
        let refused = Mask::new(settings, share, SPECIAL, VOCABULARY).err();
        refused.map(|e| e.to_string()).unwrap_or_default()
    };
    let usual = Masking::default;
    assert!(message(usual(), 1.0).contains("data.masked is 1"));
    let both = Masking {
        hidden: 0.8,
        random: 0.3,
        ..usual()
    };
    assert!(message(both, 0.15).contains("together at most 1"));
    let spans = Masking {
        span_p: 0.0,
        ..usual()
    };
    assert!(message(spans, 0.15).contains("data.masking.span_p is 0"));
    let spans = Masking {
        span_max: 0,
        ..usual()
    };
    assert!(message(spans, 0.15).contains("data.masking.span_max is 0"));
    let none = SpecialIds {
        mask: None,
        ..SPECIAL
    };
    assert!(Mask::new(usual(), 0.15, none, VOCABULARY).is_err());
    assert!(Mask::new(usual(), 0.15, SPECIAL, 5).is_err());
}
