//! Opening a tokenizer from the files of a model, in the layout of Hugging Face `transformers`.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::tokenizer::{SpecialIds, Tokenizer};

impl Tokenizer {
    /// Opens the tokenizer of a model. `read` returns the bytes of a named file of the model folder, or
    /// none when there is no such file. `tokenizer.json` is taken when present; otherwise `vocab.txt` with
    /// `do_lower_case`, `strip_accents` and `tokenize_chinese_chars` of `tokenizer_config.json`, as
    /// `BertTokenizer` does.
    ///
    /// # Errors
    /// When both files are missing, one cannot be understood, or there is no padding or unknown token.
    pub fn from_files<B: AsRef<[u8]>>(read: impl Fn(&str) -> Option<B>) -> Result<Self> {
        let config = match read("tokenizer_config.json") {
            Some(bytes) => serde_json::from_slice(bytes.as_ref()).map_err(|e| Error::Damaged {
                file: "tokenizer_config.json",
                reason: e.to_string(),
            })?,
            None => Value::Null,
        };
        if let Some(bytes) = read("tokenizer.json") {
            return Self::from_json(bytes.as_ref(), &config);
        }
        let vocabulary = read("vocab.txt").ok_or(Error::NoTokenizer)?;
        let tokens = std::str::from_utf8(vocabulary.as_ref()).map_err(|e| Error::Damaged {
            file: "vocab.txt",
            reason: e.to_string(),
        })?;
        let tokens: Vec<&str> = tokens.lines().map(|line| line.trim_end_matches('\r')).collect();
        let file = bert_file(&tokens, &Cleaning::from_config(&config));
        Self::from_json(file.to_string().as_bytes(), &config)
    }

    pub(crate) fn from_json(bytes: &[u8], config: &Value) -> Result<Self> {
        let damaged = |e: tokenizers::Error| Error::Damaged {
            file: "tokenizer.json",
            reason: e.to_string(),
        };
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes).map_err(damaged)?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(damaged)?;
        let special = special_ids(&inner, config)?;
        Ok(Self::new(inner, special))
    }
}

/// What BERT's normalizer does to the text before it is split.
pub(crate) struct Cleaning {
    pub(crate) lower_case: bool,
    /// None: accents go when the text is lower-cased.
    pub(crate) strip_accents: Option<bool>,
    pub(crate) split_chinese: bool,
}

impl Cleaning {
    fn from_config(config: &Value) -> Self {
        let flag = |name: &str| config.get(name).and_then(Value::as_bool);
        Self {
            lower_case: flag("do_lower_case").unwrap_or(true),
            strip_accents: flag("strip_accents"),
            split_chinese: flag("tokenize_chinese_chars").unwrap_or(true),
        }
    }
}

/// The special tokens of BERT in the order in which our own vocabularies begin.
pub(crate) const BERT_SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// A `tokenizer.json` for a BERT vocabulary; a token's line number is its id.
pub(crate) fn bert_file(tokens: &[&str], cleaning: &Cleaning) -> Value {
    let vocabulary: serde_json::Map<String, Value> = tokens
        .iter()
        .enumerate()
        .map(|(id, token)| ((*token).to_owned(), json!(id)))
        .collect();
    let id = |token: &str| vocabulary.get(token).cloned().unwrap_or(Value::Null);
    let added: Vec<Value> = BERT_SPECIAL
        .iter()
        .filter(|token| !id(token).is_null())
        .map(|token| {
            json!({"id": id(token), "content": token, "single_word": false, "lstrip": false,
                   "rstrip": false, "normalized": false, "special": true})
        })
        .collect();
    let special = |token: &str, kind: u8| json!({"SpecialToken": {"id": token, "type_id": kind}});
    let text = |name: &str, kind: u8| json!({"Sequence": {"id": name, "type_id": kind}});
    let entry = |token: &str| json!({"id": token, "ids": [id(token)], "tokens": [token]});
    let has_both = !id("[CLS]").is_null() && !id("[SEP]").is_null();
    let template = json!({
        "type": "TemplateProcessing",
        "single": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0)],
        "pair": [special("[CLS]", 0), text("A", 0), special("[SEP]", 0), text("B", 1), special("[SEP]", 1)],
        "special_tokens": {"[CLS]": entry("[CLS]"), "[SEP]": entry("[SEP]")},
    });
    json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": true,
            "handle_chinese_chars": cleaning.split_chinese,
            "strip_accents": cleaning.strip_accents,
            "lowercase": cleaning.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": if has_both { template } else { Value::Null },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": vocabulary,
        },
    })
}

/// Finds the special tokens by the names in `tokenizer_config.json`, else by the usual spellings.
fn special_ids(inner: &tokenizers::Tokenizer, config: &Value) -> Result<SpecialIds> {
    let find = |role: &'static str, key: &str, usual: [&str; 2]| {
        let named = config
            .get(key)
            .and_then(|v| v.as_str().or_else(|| v.get("content")?.as_str()));
        let looked_for: Vec<String> = named.into_iter().chain(usual).map(str::to_owned).collect();
        looked_for
            .iter()
            .find_map(|token| inner.token_to_id(token))
            .ok_or(Error::MissingSpecial {
                role,
                looked_for,
                entries: inner.get_vocab_size(true),
            })
    };
    Ok(SpecialIds {
        pad: find("padding", "pad_token", ["[PAD]", "<pad>"])?,
        unknown: find("unknown", "unk_token", ["[UNK]", "<unk>"])?,
        cls: find("opening", "cls_token", ["[CLS]", "<s>"]).ok(),
        sep: find("separator", "sep_token", ["[SEP]", "</s>"]).ok(),
        mask: find("mask", "mask_token", ["[MASK]", "<mask>"]).ok(),
    })
}
