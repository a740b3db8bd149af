//! The losses, one file each.

mod contrastive;
mod cross_entropy;
mod distil;
mod int8;
mod margin;
mod matryoshka;
mod triplet;

pub use contrastive::{contrastive, contrastive_symmetric};
pub use cross_entropy::{cross_entropy, log_softmax};
pub use distil::{cosine, rows};
pub use int8::rounded;
pub use margin::margin_mse;
pub use matryoshka::shortened;
pub use triplet::triplet;
