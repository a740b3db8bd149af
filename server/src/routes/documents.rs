//! `POST /v1/documents`: many documents, one a line (NDJSON) or as a JSON array. Each has its own result; what is
//! wrong with one does not touch the others; all that are accepted become visible together.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use corpus::{Document, DocumentId, PreparedDocument, StoreError};
use infer::InferError;
use search::{SearchError, ingest};
use serde::Serialize;
use serde_json::Value;

use super::json;
use crate::app::App;
use crate::body;
use crate::gate::blocking;
use crate::limits::Limits;
use crate::problem::{Kind, Problem};
use crate::writer::Change;

/// Media types of one JSON value a line; no one name is registered.
const NDJSON: [&str; 4] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];

/// Documents that are cut and embedded in one call.
const PORTION: usize = 64;

/// Where a document stands in the request.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Place {
    /// Line of NDJSON, from 1.
    Line(usize),
    /// Place in the array, from 0.
    Index(usize),
}

/// What became of one document.
#[derive(Serialize)]
struct Outcome {
    #[serde(flatten)]
    place: Place,
    id: Option<DocumentId>,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// What became of all of them, and the commit that shows those that were accepted.
#[derive(Serialize)]
struct Answer {
    accepted: usize,
    rejected: usize,
    generation: Option<u64>,
    results: Vec<Outcome>,
}

/// The documents that are still on their way, each with the number of its outcome.
struct Bulk<T> {
    outcomes: Vec<Outcome>,
    under_way: Vec<(usize, T)>,
}

pub(super) async fn post(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    app.check_writable()?;
    let media_type = body::media_type(request.headers());
    let lines = NDJSON.contains(&media_type.as_str());
    if !lines && media_type != "application/json" {
        return Err(body::other_media_type(
            media_type,
            "application/x-ndjson or application/json",
        ));
    }
    let turn = app.bulks.enter().await?;
    let bytes = body::read(request, app.limits.bulk_bytes_max, &app.limits).await?;
    let shared = Arc::clone(&app);
    let prepared = blocking(turn, move || {
        let mut bulk = if lines {
            read_lines(&bytes)
        } else {
            read_array(&bytes)?
        };
        admit_all(&mut bulk, &shared.limits)?;
        prepare(&shared, bulk)
    });
    let answer = write(&app, prepared.await?).await?;
    let status = if answer.rejected == 0 {
        StatusCode::OK
    } else {
        StatusCode::MULTI_STATUS
    };
    Ok(json(status, &answer))
}

fn read_lines(bytes: &[u8]) -> Bulk<Document> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    Bulk::new(lines.map(|(at, line)| (Place::Line(at + 1), body::parse(line))))
}

fn read_array(bytes: &[u8]) -> Result<Bulk<Document>, Problem> {
    let values = match body::value(bytes)? {
        Value::Array(values) => values.into_iter().enumerate(),
        other => return Err(Problem::invalid("body", other, "a list of documents")),
    };
    Ok(Bulk::new(
        values.map(|(at, value)| (Place::Index(at), body::typed(value))),
    ))
}

impl Bulk<Document> {
    fn new(documents: impl Iterator<Item = (Place, Result<Document, Problem>)>) -> Self {
        let mut bulk = Self {
            outcomes: Vec::new(),
            under_way: Vec::new(),
        };
        for (number, (place, document)) in documents.enumerate() {
            let id = document.as_ref().ok().map(|document| document.id.clone());
            bulk.outcomes.push(Outcome {
                place,
                id,
                status: StatusCode::OK.as_u16(),
                problem: None,
            });
            match document {
                Ok(document) => bulk.under_way.push((number, document)),
                Err(problem) => bulk.outcomes[number].refuse(problem),
            }
        }
        bulk
    }
}

impl Outcome {
    fn refuse(&mut self, problem: Problem) {
        self.status = problem.status().as_u16();
        self.problem = Some(problem);
    }
}

/// Whether one document may come in; the same alone and among many.
pub(super) fn admit(document: &Document, limits: &Limits) -> Result<(), Problem> {
    if document.text.trim().is_empty() {
        return Err(StoreError::NoText(document.id.clone()).into());
    }
    let bytes = serde_json::to_vec(document).map_or(usize::MAX, |json| json.len());
    if bytes > limits.document_bytes_max {
        let detail = format!("document {} has {bytes} bytes as JSON", document.id);
        let accepted = format!("at most {} bytes", limits.document_bytes_max);
        return Err(Problem::new(Kind::TooLarge, detail).with("document", bytes, accepted));
    }
    Ok(())
}

fn admit_all(bulk: &mut Bulk<Document>, limits: &Limits) -> Result<(), Problem> {
    let count = bulk.outcomes.len();
    if count == 0 || count > limits.bulk_documents_max {
        let accepted = format!("1 to {} documents", limits.bulk_documents_max);
        return Err(Problem::invalid("body", format!("{count} documents"), accepted));
    }
    let mut ids = HashSet::new();
    let Bulk { outcomes, under_way } = bulk;
    under_way.retain(|(number, document)| {
        let admitted = match ids.contains(&document.id) {
            true => Err(Problem::invalid(
                "id",
                document.id.as_str(),
                "each id once in a request",
            )),
            false => admit(document, limits),
        };
        match admitted {
            Ok(()) => ids.insert(document.id.clone()),
            Err(problem) => {
                outcomes[*number].refuse(problem);
                false
            }
        }
    });
    Ok(())
}

/// Cuts and embeds what was admitted. A model that fails or stays busy ends the request before anything is
/// written.
fn prepare(app: &App, bulk: Bulk<Document>) -> Result<Bulk<PreparedDocument>, Problem> {
    let Bulk {
        mut outcomes,
        under_way,
    } = bulk;
    let mut prepared = Vec::with_capacity(under_way.len());
    for portion in under_way.chunks(PORTION) {
        for ((number, _), done) in portion.iter().zip(prepare_portion(app, portion)?) {
            match done {
                Ok(document) => prepared.push((*number, document)),
                Err(problem) => outcomes[*number].refuse(problem),
            }
        }
    }
    Ok(Bulk {
        outcomes,
        under_way: prepared,
    })
}

/// When the documents together fail because of one of them, each is tried alone.
fn prepare_portion(
    app: &App,
    portion: &[(usize, Document)],
) -> Result<Vec<Result<PreparedDocument, Problem>>, Problem> {
    let cut = |documents| ingest::prepare(&app.patient(), documents, &app.ingest);
    match cut(portion.iter().map(|(_, document)| document.clone()).collect()) {
        Ok(done) => return Ok(done.into_iter().map(Ok).collect()),
        Err(error) if !is_of_one_document(&error) => return Err(error.into()),
        Err(_) => {}
    }
    let mut each = Vec::with_capacity(portion.len());
    for (_, document) in portion {
        match cut(vec![document.clone()]) {
            Ok(done) => each.extend(done.into_iter().map(Ok)),
            Err(error) if is_of_one_document(&error) => each.push(Err(error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(each)
}

/// Whether another document may well succeed.
fn is_of_one_document(error: &SearchError) -> bool {
    match error {
        SearchError::Store(StoreError::NoText(_)) => true,
        SearchError::Infer(error) => {
            matches!(error, InferError::Tokenize { .. } | InferError::NotFinite { .. })
        }
        _ => false,
    }
}

async fn write(app: &App, bulk: Bulk<PreparedDocument>) -> Result<Answer, Problem> {
    let Bulk {
        outcomes: mut results,
        under_way,
    } = bulk;
    let (numbers, documents): (Vec<usize>, Vec<PreparedDocument>) = under_way.into_iter().unzip();
    let (written, commit) = match documents.is_empty() {
        true => (Vec::new(), None),
        false => app.write(Change::Put(documents)).await?,
    };
    for (number, outcome) in numbers.into_iter().zip(written) {
        if let Err(problem) = outcome {
            results[number].refuse(problem);
        }
    }
    let rejected = results.iter().filter(|result| result.problem.is_some()).count();
    let (accepted, generation) = (results.len() - rejected, commit.map(|commit| commit.generation));
    Ok(Answer {
        accepted,
        rejected,
        generation,
        results,
    })
}
