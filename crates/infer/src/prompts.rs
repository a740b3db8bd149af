//! What a model wants to read before a text, by `config_sentence_transformers.json`.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Role;

/// Prefixes by role; empty for most models.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Prompts {
    query: String,
    passage: String,
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    prompts: Option<BTreeMap<String, String>>,
    #[serde(default)]
    default_prompt_name: Option<String>,
}

/// Names under which models keep their prompts, as in sentence-transformers' `encode_query` and `encode_document`.
const QUERY: [&str; 1] = ["query"];
const PASSAGE: [&str; 3] = ["document", "passage", "corpus"];

impl Prompts {
    /// Reads the file's content. A role without a prompt of its own has the default one, if there is one.
    pub(crate) fn from_json(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let file: File = serde_json::from_slice(bytes)?;
        let prompts = file.prompts.unwrap_or_default();
        let default = file.default_prompt_name.and_then(|name| prompts.get(&name));
        let find = |names: &[&str]| {
            let own = names.iter().find_map(|name| prompts.get(*name));
            own.or(default).cloned().unwrap_or_default()
        };
        Ok(Self {
            query: find(&QUERY),
            passage: find(&PASSAGE),
        })
    }

    /// What stands before a text of this role.
    pub(crate) fn of(&self, role: Role) -> &str {
        match role {
            Role::Query => &self.query,
            Role::Passage => &self.passage,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failing unwrap fails the test")]
    use super::*;

    fn read(json: &str) -> (String, String) {
        let prompts = Prompts::from_json(json.as_bytes()).unwrap();
        (
            prompts.of(Role::Query).to_owned(),
            prompts.of(Role::Passage).to_owned(),
        )
    }

    #[test]
    fn each_role_finds_its_prompt() {
        for (json, query, passage) in [
            ("{}", "", ""),
            (r#"{"prompts": null, "default_prompt_name": null}"#, "", ""),
            (
                r#"{"prompts": {"query": "q: ", "document": "d: "}}"#,
                "q: ",
                "d: ",
            ),
            (r#"{"prompts": {"query": "q: ", "passage": "p: "}}"#, "q: ", "p: "),
            (r#"{"prompts": {"query": "q: "}}"#, "q: ", ""),
            (
                r#"{"prompts": {"query": "q: ", "x": "y "}, "default_prompt_name": "x"}"#,
                "q: ",
                "y ",
            ),
            (
                r#"{"prompts": {"query": "q: "}, "default_prompt_name": "x"}"#,
                "q: ",
                "",
            ),
        ] {
            assert_eq!(read(json), (query.to_owned(), passage.to_owned()), "{json}");
        }
        assert!(Prompts::from_json(b"{\"prompts\": 3}").is_err());
    }
}
