//! `POST /v1/embeddings`: vectors in the shape of OpenAI's API.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use infer::{Embed, Role};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json;
use crate::app::App;
use crate::body;
use crate::limits::Limits;
use crate::problem::{Kind, Problem};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// A text or a list of texts.
    input: Value,
    model: Option<String>,
    #[serde(default)]
    encoding_format: Format,
    dimensions: Option<usize>,
    /// Not OpenAI's: models with a prompt for each side need to know on which side of a search a text stands.
    #[serde(default)]
    input_type: Role,
    /// Accepted because clients send it; nothing is done with it.
    #[serde(rename = "user")]
    _user: Option<String>,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Float,
    Base64,
}

#[derive(Serialize)]
struct Answer<'a> {
    object: &'static str,
    data: Vec<Embedding>,
    model: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Embedding {
    object: &'static str,
    index: usize,
    embedding: Vector,
}

/// Numbers, or the base64 of their little-endian 32-bit floats, which is what the official client asks for.
#[derive(Serialize)]
#[serde(untagged)]
enum Vector {
    Numbers(Vec<f32>),
    Base64(String),
}

#[derive(Serialize)]
struct Usage {
    prompt_tokens: usize,
    total_tokens: usize,
}

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let wanted: Wanted = body::json(request, &app.limits).await?;
    check_model(wanted.model.as_deref(), &app.model)?;
    let dimension = app.embed.dimension();
    if let Some(other) = wanted.dimensions.filter(|&other| other != dimension) {
        return Err(Problem::invalid(
            "dimensions",
            other,
            format!("{dimension}, or left out"),
        ));
    }
    let texts = texts(wanted.input, &app.limits)?;
    let shared = Arc::clone(&app);
    let embedded = app.reads.run(move || {
        let tokens = count_tokens(&shared.embed, &texts)?;
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        // One text is refused when the queue is full; of many, the first ones have had their work done.
        let vectors = match texts.len() {
            1 => shared.embed.embed(&texts, wanted.input_type)?,
            _ => shared.patient().embed(&texts, wanted.input_type)?,
        };
        Ok((vectors, tokens))
    });
    let (vectors, tokens) = embedded.await?;
    let data = vectors.into_iter().enumerate();
    let answer = Answer {
        object: "list",
        data: data
            .map(|(index, vector)| embedding(index, vector, wanted.encoding_format))
            .collect(),
        model: &app.model,
        usage: Usage {
            prompt_tokens: tokens,
            total_tokens: tokens,
        },
    };
    Ok(json(StatusCode::OK, &answer))
}

/// A request that names another model is refused: its vectors could not be compared with those that it gets.
pub(super) fn check_model(wanted: Option<&str>, served: &str) -> Result<(), Problem> {
    match wanted {
        Some(other) if other != served => {
            let detail = format!("the model {other:?} is not served here; this server has {served:?}");
            Err(Problem::new(Kind::NotFound, detail).with("model", other, served))
        }
        _ => Ok(()),
    }
}

fn texts(input: Value, limits: &Limits) -> Result<Vec<String>, Problem> {
    const ACCEPTED: &str = "a text or a list of texts, none of them empty";
    let most = limits.embedding_inputs_max;
    let texts = match input {
        Value::String(text) => vec![text],
        Value::Array(values) if values.is_empty() || values.len() > most => {
            let found = format!("a list of {}", values.len());
            return Err(Problem::invalid("input", found, format!("1 to {most} texts")));
        }
        Value::Array(values) if values.iter().all(|value| value.is_number() || value.is_array()) => {
            let accepted = "texts: this server has its own tokenizer and takes no token ids";
            return Err(Problem::invalid("input", "a list of tokens", accepted));
        }
        Value::Array(values) => values
            .into_iter()
            .enumerate()
            .map(text)
            .collect::<Result<_, _>>()?,
        other => return Err(Problem::invalid("input", other, ACCEPTED)),
    };
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(at) => Err(Problem::invalid(
            format!("input[{at}]"),
            "an empty text",
            ACCEPTED,
        )),
        None => Ok(texts),
    }
}

fn text((at, value): (usize, Value)) -> Result<String, Problem> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Problem::invalid(format!("input[{at}]"), other, "a text")),
    }
}

/// Tokens of all texts. A text that the model would not read to its end is refused.
fn count_tokens(model: &dyn Embed, texts: &[String]) -> Result<usize, Problem> {
    let most = model.tokens_max();
    let mut total = 0;
    for (at, text) in texts.iter().enumerate() {
        let tokens = model.count_tokens(text)?;
        if model.chunk(text, most, 0)?.len() > 1 {
            let accepted = format!("at most {most} tokens, special tokens included");
            return Err(Problem::invalid(
                format!("input[{at}]"),
                format!("a text of {tokens} tokens"),
                accepted,
            ));
        }
        total += tokens;
    }
    Ok(total)
}

fn embedding(index: usize, vector: Vec<f32>, format: Format) -> Embedding {
    let embedding = match format {
        Format::Float => Vector::Numbers(vector),
        Format::Base64 => {
            let bytes: Vec<u8> = vector
                .iter()
                .flat_map(|component| component.to_le_bytes())
                .collect();
            Vector::Base64(STANDARD.encode(bytes))
        }
    };
    Embedding {
        object: "embedding",
        index,
        embedding,
    }
}
