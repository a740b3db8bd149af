//! Leaves the entries out of a vocabulary that no text can reach.
//!
//! BERT's vocabulary holds `[unused0]`, `[unused1]`, ... for whoever wants to add words. Nobody reads them, yet each has
//! a row of the embeddings.

use serde_json::Value;

use crate::{Error, Result};

/// A tokenizer without its unused entries.
#[derive(Debug)]
pub struct Compact {
    /// Its `tokenizer.json`.
    pub json: Vec<u8>,
    /// The number that each entry had before, in the order of the new numbers.
    pub kept: Vec<u32>,
}

const FILE: &str = "tokenizer.json";

/// Takes the unused entries out of a `tokenizer.json` with a WordPiece vocabulary and numbers the others anew, in
/// their order.
///
/// # Errors
/// The file is damaged, or its vocabulary is of another kind or does not number its entries from 0 without gaps.
pub fn drop_unused(json: &[u8]) -> Result<Compact> {
    let mut tokenizer: Value = serde_json::from_slice(json).map_err(|e| damaged(e.to_string()))?;
    let entries = entries(&tokenizer)?;
    let is_unused = |entry: &str| entry.starts_with("[unused") && entry.ends_with(']');
    let kept: Vec<u32> = (0u32..)
        .zip(&entries)
        .filter(|(_, entry)| !is_unused(entry))
        .map(|(number, _)| number)
        .collect();
    let vocabulary = (0u32..)
        .zip(&kept)
        .map(|(new, &old)| (entries[old as usize].clone(), Value::from(new)));
    tokenizer["model"]["vocab"] = Value::Object(vocabulary.collect());
    let renumbered = |old: &Value| {
        let old = old.as_u64().and_then(|old| u32::try_from(old).ok());
        let new = old.and_then(|old| kept.binary_search(&old).ok());
        new.map(Value::from).ok_or_else(|| {
            damaged(format!(
                "a special token has the number {old:?}, which is no entry's"
            ))
        })
    };
    let mut numbers = Vec::new();
    special_numbers(&mut tokenizer, &mut numbers);
    for number in numbers {
        *number = renumbered(number)?;
    }
    let json = serde_json::to_vec(&tokenizer).map_err(|e| damaged(e.to_string()))?;
    Ok(Compact { json, kept })
}

/// The entries in the order of their numbers.
fn entries(tokenizer: &Value) -> Result<Vec<String>> {
    let model = &tokenizer["model"];
    let vocabulary = match model["vocab"].as_object() {
        Some(vocabulary) if model["type"].as_str().is_none_or(|kind| kind == "WordPiece") => vocabulary,
        _ => {
            return Err(damaged(format!(
                "the vocabulary is of the kind {}, accepted: WordPiece",
                model["type"]
            )));
        }
    };
    let mut entries = vec![String::new(); vocabulary.len()];
    for (entry, number) in vocabulary {
        let place = number
            .as_u64()
            .and_then(|number| entries.get_mut(number as usize));
        match place {
            Some(place) if place.is_empty() => place.clone_from(entry),
            _ => {
                let reason = format!(
                    "entry {entry:?} has the number {number}, accepted: each of 0 to {} once",
                    vocabulary.len() - 1
                );
                return Err(damaged(reason));
            }
        }
    }
    Ok(entries)
}

/// Every place beside the vocabulary where the number of a special token stands.
fn special_numbers<'a>(tokenizer: &'a mut Value, numbers: &mut Vec<&'a mut Value>) {
    let Some(parts) = tokenizer.as_object_mut() else {
        return;
    };
    for (name, part) in parts {
        match name.as_str() {
            "added_tokens" => {
                let tokens = part.as_array_mut().into_iter().flatten();
                numbers.extend(tokens.filter_map(|token| token.get_mut("id")));
            }
            "padding" => numbers.extend(part.get_mut("pad_id")),
            "post_processor" => frame_numbers(part, numbers),
            _ => {}
        }
    }
}

/// The numbers in what frames a text: a template, or BERT's own form of it.
fn frame_numbers<'a>(processor: &'a mut Value, numbers: &mut Vec<&'a mut Value>) {
    let Some(fields) = processor.as_object_mut() else {
        return;
    };
    for (name, field) in fields {
        match name.as_str() {
            "special_tokens" => {
                let tokens = field
                    .as_object_mut()
                    .into_iter()
                    .flat_map(|tokens| tokens.values_mut());
                let lists = tokens.filter_map(|token| token.get_mut("ids")?.as_array_mut());
                numbers.extend(lists.flatten());
            }
            "sep" | "cls" => numbers.extend(field.get_mut(1)),
            _ => {}
        }
    }
}

fn damaged(reason: String) -> Error {
    Error::Damaged { file: FILE, reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;
    use crate::Tokenizer;
    use serde_json::json;

    fn tokenizer(entries: &[&str]) -> Value {
        let vocabulary: serde_json::Map<String, Value> = entries
            .iter()
            .enumerate()
            .map(|(at, entry)| ((*entry).into(), at.into()))
            .collect();
        let number = |entry: &str| entries.iter().position(|known| *known == entry).unwrap();
        let special = |entry: &str| {
            json!({"id": number(entry), "content": entry, "single_word": false, "lstrip": false,
                "rstrip": false, "normalized": false, "special": true})
        };
        let added = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].map(special);
        json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added,
            "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                "strip_accents": null, "lowercase": true},
            "pre_tokenizer": {"type": "BertPreTokenizer"},
            "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", number("[SEP]")],
                "cls": ["[CLS]", number("[CLS]")]},
            "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
            "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                "max_input_chars_per_word": 100, "vocab": vocabulary},
        })
    }

    const ENTRIES: [&str; 10] = [
        "[PAD]",
        "[unused0]",
        "[UNK]",
        "[unused1]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "tide",
        "[unused2]",
        "##s",
    ];

    #[test]
    fn texts_get_the_same_entries_under_their_new_numbers() {
        let before = serde_json::to_vec(&tokenizer(&ENTRIES)).unwrap();
        let Compact { json, kept } = drop_unused(&before).unwrap();
        assert_eq!(kept, [0, 2, 4, 5, 6, 7, 9]);
        let open = |json: &[u8]| Tokenizer::from_files(|name| (name == FILE).then(|| json.to_vec())).unwrap();
        let ids = |tokenizer: &Tokenizer| -> Vec<u32> {
            tokenizer
                .encode_batch(&["tides unknown tide"], 20)
                .unwrap()
                .remove(0)
                .ids
        };
        let (before, after) = (open(&before), open(&json));
        let old: Vec<u32> = ids(&after).iter().map(|&id| kept[id as usize]).collect();
        assert_eq!(old, ids(&before));
        assert_eq!(after.vocabulary_size(), kept.len());
        assert_eq!(after.special().mask, Some(4));
    }

    #[test]
    fn other_vocabularies_are_refused() {
        let mut other = tokenizer(&ENTRIES);
        other["model"]["type"] = json!("BPE");
        let error = drop_unused(&serde_json::to_vec(&other).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("BPE") && error.contains("WordPiece"), "{error}");
        let mut gap = tokenizer(&ENTRIES);
        gap["model"]["vocab"]["tide"] = json!(70);
        let error = drop_unused(&serde_json::to_vec(&gap).unwrap())
            .unwrap_err()
            .to_string();
        assert!(error.contains("tide") && error.contains("70"), "{error}");
        assert!(drop_unused(b"{").is_err());
    }
}
