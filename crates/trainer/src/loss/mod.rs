//! The losses, one file each.

mod binary;
mod contrastive;
mod cosent;
mod cross_entropy;
mod distil;
mod frequencies;
mod int8;
mod list_net;
mod margin;
mod matryoshka;
mod pair_contrastive;
mod pairwise;
mod regression;
mod relations;
mod softplus;
mod triplet;
mod weighted;

pub use binary::binary_cross_entropy;
pub use contrastive::{contrastive, contrastive_symmetric};
pub use cosent::cosent;
pub use cross_entropy::{cross_entropy, log_softmax};
pub use distil::{cosine, rows};
pub(crate) use frequencies::of_frequencies;
pub use int8::rounded;
pub use list_net::list_net;
pub use margin::margin_mse;
pub use matryoshka::shortened;
pub use pair_contrastive::pair_contrastive;
pub use pairwise::{lambda_loss, rank_net};
pub use regression::regression;
pub use relations::relations;
pub(crate) use softplus::softplus;
pub use triplet::triplet;
pub use weighted::{squared_error, weighted_cross_entropy};
