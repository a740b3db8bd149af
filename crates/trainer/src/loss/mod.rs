//! The losses, one file each.

mod contrastive;
mod cross_entropy;
mod distil;

pub use contrastive::{contrastive, contrastive_symmetric};
pub use cross_entropy::{cross_entropy, log_softmax};
pub use distil::{cosine, rows};
