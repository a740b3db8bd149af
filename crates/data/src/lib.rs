//! Readers of the usual file formats into typed records.
