//! What surrounds the pieces of a new vocabulary: special tokens, cleaning, splitting into words, framing.

use serde_json::{Value, json};

use super::Kind;
use crate::open::{BERT_SPECIAL, Cleaning, bert_file};

/// Special tokens that every family has.
pub(super) const SPECIAL: usize = 5;

/// Those of RoBERTa and XLM-R: opening, padding, separator, unknown, blank.
const ROBERTA_SPECIAL: [&str; SPECIAL] = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"];

/// The special tokens of a family in the order of their ids, from 0.
pub(super) fn special(kind: Kind) -> [&'static str; SPECIAL] {
    match kind {
        Kind::Wordpiece => BERT_SPECIAL,
        Kind::Bpe | Kind::Unigram => ROBERTA_SPECIAL,
    }
}

/// A `tokenizer.json` whose vocabulary has the special tokens only.
pub(super) fn empty(kind: Kind, lower_case: bool) -> Value {
    match kind {
        Kind::Wordpiece => {
            let cleaning = Cleaning {
                lower_case,
                strip_accents: None,
                split_chinese: true,
            };
            bert_file(&BERT_SPECIAL, &cleaning)
        }
        Kind::Bpe => byte_pairs(lower_case),
        Kind::Unigram => unigrams(lower_case),
    }
}

/// As RoBERTa, but a word that opens a text is spelled as it is within one.
fn byte_pairs(lower_case: bool) -> Value {
    let ids: serde_json::Map<String, Value> = ROBERTA_SPECIAL
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), json!(id)))
        .collect();
    let normalizer = match lower_case {
        true => json!({"type": "Sequence", "normalizers": without_case()}),
        false => Value::Null,
    };
    let byte_level =
        json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(),
        "normalizer": normalizer,
        "pre_tokenizer": byte_level,
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": true,
            "add_prefix_space": true,
        },
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": ids, "merges": []},
    })
}

/// As XLM-R: compatibility forms are unified, white space becomes one mark before each word.
fn unigrams(lower_case: bool) -> Value {
    let mut normalizers = vec![json!({"type": "NFKC"})];
    if lower_case {
        normalizers.extend(without_case());
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"Regex": "\\s+"}, "content": " "}));
    normalizers.push(json!({"type": "Strip", "strip_left": true, "strip_right": true}));
    let metaspace =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true});
    let special = |token: &str| json!({"SpecialToken": {"id": token, "type_id": 0}});
    let text = |name: &str| json!({"Sequence": {"id": name, "type_id": 0}});
    let entry = |token: &str, id: u32| json!({"id": token, "ids": [id], "tokens": [token]});
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added_tokens(),
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": metaspace,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("<s>"), text("A"), special("</s>")],
            "pair": [special("<s>"), text("A"), special("</s>"), special("</s>"), text("B"), special("</s>")],
            "special_tokens": {"<s>": entry("<s>", 0), "</s>": entry("</s>", 2)},
        },
        "decoder": metaspace,
        "model": {
            "type": "Unigram",
            "unk_id": 3,
            "vocab": ROBERTA_SPECIAL.map(|token| json!([token, 0.0])),
            "byte_fallback": false,
        },
    })
}

/// Lower case without accents, as BERT's own normalizer does it.
fn without_case() -> Vec<Value> {
    ["NFD", "Lowercase", "StripAccents"]
        .map(|step| json!({"type": step}))
        .to_vec()
}

/// A blank takes the space before it along, so that text around it is cut as if a word stood there.
fn added_tokens() -> Vec<Value> {
    let token = |(id, token): (usize, &&str)| {
        json!({"id": id, "content": token, "single_word": false, "lstrip": *token == "<mask>",
               "rstrip": false, "normalized": false, "special": true})
    };
    ROBERTA_SPECIAL.iter().enumerate().map(token).collect()
}
