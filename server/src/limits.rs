//! How much of everything the server takes. What is more has a stated answer: 408, 413, 422, 429 or 503.

use std::time::Duration;

use index::MergeSettings;

/// The server's bounds. Those of a search (limit, depth, length of the query) are in [`search::SearchRequest`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections held open; further ones wait to be accepted.
    pub connections_max: usize,
    /// A request line with its headers must be complete after this time; an idle connection is closed after it.
    pub header_timeout: Duration,
    /// A body must be complete after this time (408).
    pub body_timeout: Duration,
    /// Bytes of a JSON request other than documents (413).
    pub body_bytes_max: usize,
    /// Bytes of one document as JSON, alone or as one of many (413, for its line where there are many).
    pub document_bytes_max: usize,
    /// Bytes of many documents (413).
    pub bulk_bytes_max: usize,
    /// Documents of one bulk request (422).
    pub bulk_documents_max: usize,
    /// Texts of one embedding request (422).
    pub embedding_inputs_max: usize,
    /// Documents of one rerank request (422).
    pub rerank_documents_max: usize,
    /// Searches, embeddings and rerankings under way at once.
    pub reads_max: usize,
    /// Those that wait for their turn (429 beyond).
    pub reads_waiting_max: usize,
    /// Writes of one document that are prepared at once.
    pub writes_max: usize,
    /// Those that wait for their turn, and prepared ones that wait for their commit (429 beyond).
    pub writes_waiting_max: usize,
    /// Bulk writes under way at once, from the first byte of the body on.
    pub bulks_max: usize,
    /// Those that wait for their turn (429 beyond).
    pub bulks_waiting_max: usize,
    /// What merging segments beside searches and writes may take.
    pub merging: MergeSettings,
    /// After a stop is asked for, accepted requests have this long to finish.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1 << 20;
        Self {
            connections_max: 1024,
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(60),
            body_bytes_max: 8 * MIB,
            document_bytes_max: 4 * MIB,
            bulk_bytes_max: 64 * MIB,
            bulk_documents_max: 10_000,
            embedding_inputs_max: 2048,
            rerank_documents_max: 1000,
            reads_max: 32,
            reads_waiting_max: 256,
            writes_max: 4,
            writes_waiting_max: 64,
            bulks_max: 2,
            bulks_waiting_max: 16,
            merging: MergeSettings::default(),
            shutdown_timeout: Duration::from_secs(30),
        }
    }
}
