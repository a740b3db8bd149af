//! BM25 over tantivy.
