//! `GET`, `PUT` and `DELETE /v1/documents/{id}`: one document. A slash in an id is written `%2F`.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use corpus::{Document, DocumentId, Metadata};
use search::ingest;
use serde::{Deserialize, Serialize};

use super::documents::admit;
use super::json;
use crate::app::App;
use crate::body;
use crate::problem::{Kind, Problem};
use crate::writer::{Change, no_document};

/// A document whose id stands in the path.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    id: Option<DocumentId>,
    #[serde(default)]
    title: String,
    text: String,
    #[serde(default)]
    metadata: Metadata,
}

/// What became of a document, and the commit that shows it.
#[derive(Serialize)]
struct Changed<'a> {
    id: &'a DocumentId,
    result: &'static str,
    generation: u64,
}

type IdPath = Result<Path<String>, PathRejection>;

fn named(path: IdPath) -> Result<DocumentId, Problem> {
    let Path(id) = path.map_err(|error| Problem::new(Kind::Malformed, error.to_string()))?;
    DocumentId::new(id.clone()).map_err(|error| {
        let accepted = "1 to 512 bytes of UTF-8 without control characters";
        Problem::new(Kind::Invalid, error.to_string()).with("id", id, accepted)
    })
}

pub(super) async fn get(State(app): State<Arc<App>>, path: IdPath) -> Result<Response, Problem> {
    let id = named(path)?;
    let shared = Arc::clone(&app);
    let document = app.reads.run(move || {
        let found = shared.store.snapshot()?.document(&id)?;
        found.ok_or_else(|| no_document(&id))
    });
    Ok(json(StatusCode::OK, &document.await?))
}

pub(super) async fn put(
    State(app): State<Arc<App>>,
    path: IdPath,
    request: Request,
) -> Result<Response, Problem> {
    app.check_writable()?;
    let id = named(path)?;
    let content: Content = body::json(request, &app.limits).await?;
    if let Some(other) = content.id.filter(|other| *other != id) {
        return Err(Problem::invalid(
            "id",
            other.as_str(),
            format!("{:?}, as in the path", id.as_str()),
        ));
    }
    let Content {
        title,
        text,
        metadata,
        ..
    } = content;
    let document = Document {
        id: id.clone(),
        title,
        text,
        metadata,
    };
    admit(&document, &app.limits)?;
    let shared = Arc::clone(&app);
    let prepared = app.writes.run(move || {
        Ok(ingest::prepare(
            &shared.patient(),
            vec![document],
            &shared.ingest,
        )?)
    });
    written(&app, Change::Put(prepared.await?), &id, "stored").await
}

pub(super) async fn delete(State(app): State<Arc<App>>, path: IdPath) -> Result<Response, Problem> {
    let id = named(path)?;
    written(&app, Change::Delete(id.clone()), &id, "deleted").await
}

async fn written(
    app: &App,
    change: Change,
    id: &DocumentId,
    result: &'static str,
) -> Result<Response, Problem> {
    let (outcomes, commit) = app.write(change).await?;
    outcomes.into_iter().collect::<Result<(), Problem>>()?;
    let generation = commit.map_or(0, |commit| commit.generation);
    Ok(json(
        StatusCode::OK,
        &Changed {
            id,
            result,
            generation,
        },
    ))
}
