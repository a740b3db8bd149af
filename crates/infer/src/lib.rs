//! Texts in; vectors, scores and spans out.
