//! Writing a tokenizer so that `transformers.AutoTokenizer` opens it.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::{Error, Result, library};
use crate::tokenizer::Tokenizer;

impl Tokenizer {
    /// Writes `tokenizer.json`, `vocab.txt` (WordPiece only), `tokenizer_config.json` and
    /// `special_tokens_map.json` into `folder`, which must exist. `max_tokens` is the longest input of the
    /// model, kept as `model_max_length`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path, max_tokens: usize) -> Result<()> {
        let json = self
            .inner
            .to_string(true)
            .map_err(library("writing tokenizer.json"))?;
        write(folder, "tokenizer.json", &json)?;
        let file: Value = serde_json::from_str(&json).map_err(|e| Error::Damaged {
            file: "tokenizer.json",
            reason: e.to_string(),
        })?;
        let is_wordpiece = file["model"]["type"] == "WordPiece";
        if is_wordpiece {
            write(folder, "vocab.txt", &self.vocabulary_lines())?;
        }
        let names = self.special_names();
        write(folder, "special_tokens_map.json", &pretty(&names))?;
        let class = if is_wordpiece {
            "BertTokenizer"
        } else {
            "PreTrainedTokenizerFast"
        };
        let mut config = json!({"tokenizer_class": class, "model_max_length": max_tokens});
        if is_wordpiece {
            let normalizer = &file["normalizer"];
            config["do_lower_case"] = normalizer["lowercase"].clone();
            config["strip_accents"] = normalizer["strip_accents"].clone();
            config["tokenize_chinese_chars"] = normalizer["handle_chinese_chars"].clone();
        }
        for (name, token) in names.as_object().into_iter().flatten() {
            config[name] = token.clone();
        }
        write(folder, "tokenizer_config.json", &pretty(&config))
    }

    /// One token a line, in the order of the ids.
    fn vocabulary_lines(&self) -> String {
        let mut tokens: Vec<(u32, String)> = self
            .inner
            .get_vocab(true)
            .into_iter()
            .map(|(token, id)| (id, token))
            .collect();
        tokens.sort_unstable();
        tokens.into_iter().map(|(_, token)| token + "\n").collect()
    }

    fn special_names(&self) -> Value {
        let special = self.special;
        let named = [
            ("pad_token", Some(special.pad)),
            ("unk_token", Some(special.unknown)),
            ("cls_token", special.cls),
            ("sep_token", special.sep),
            ("mask_token", special.mask),
        ];
        let names = named
            .into_iter()
            .filter_map(|(name, id)| Some((name.to_owned(), self.token(id?)?.into())));
        Value::Object(names.collect())
    }
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn write(folder: &Path, name: &str, content: &str) -> Result<()> {
    let path = folder.join(name);
    std::fs::write(&path, content).map_err(|source| Error::Write { path, source })
}
