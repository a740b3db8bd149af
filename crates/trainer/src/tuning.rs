//! What fine-tuning leaves alone: parts of the encoder that are frozen, and layers that move less than others.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How much the parts of a pre-trained encoder may move.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tuning {
    /// The learning rate of a layer as a share of that of the layer above it: the head has the whole rate, the last
    /// layer this share of it, the layer below its square (discriminative fine-tuning, Howard and Ruder 2018,
    /// section 3.2). 1 treats all alike; usual otherwise are 0.8 to 0.95.
    pub layer_decay: f64,
    /// Keep token, position and segment embeddings as they are.
    pub freeze_embeddings: bool,
    /// Keep so many of the first layers as they are.
    pub freeze_layers: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            layer_decay: 1.0,
            freeze_embeddings: false,
            freeze_layers: 0,
        }
    }
}

impl Tuning {
    /// Refuses what an encoder of so many layers cannot do.
    ///
    /// # Errors
    /// A decay outside of 0 to 1, more frozen layers than there are.
    pub(crate) fn check(&self, layers: usize) -> Result<()> {
        let refuse = |field, value: String, accepted: String| {
            Err(Error::Setting {
                field,
                value,
                accepted,
            })
        };
        if !(self.layer_decay > 0.0 && self.layer_decay <= 1.0) {
            let accepted = "above 0, at most 1".into();
            return refuse("tuning.layer_decay", self.layer_decay.to_string(), accepted);
        }
        if self.freeze_layers > layers {
            let accepted = format!("0 to {layers}, the layers of the model");
            return refuse("tuning.freeze_layers", self.freeze_layers.to_string(), accepted);
        }
        Ok(())
    }

    /// What the learning rate of a variable is multiplied by, in an encoder of so many layers; 0 when it is frozen.
    pub(crate) fn rate(&self, name: &str, layers: usize) -> f64 {
        let below_head = match place(name) {
            Place::Head => 0,
            Place::Embeddings if self.freeze_embeddings => return 0.0,
            Place::Embeddings => layers + 1,
            Place::Layer(at) if at < self.freeze_layers => return 0.0,
            Place::Layer(at) => layers.saturating_sub(at),
        };
        self.layer_decay.powi(below_head as i32)
    }
}

enum Place {
    Embeddings,
    Layer(usize),
    Head,
}

fn place(name: &str) -> Place {
    let name = name.strip_prefix("bert.").unwrap_or(name);
    let layer = || {
        name.strip_prefix("encoder.layer.")?
            .split('.')
            .next()?
            .parse()
            .ok()
    };
    match layer() {
        Some(at) => Place::Layer(at),
        None if name.starts_with("embeddings.") => Place::Embeddings,
        None => Place::Head,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
    use super::*;

    #[test]
    fn rates_fall_from_the_head_to_the_embeddings() {
        let tuning = Tuning {
            layer_decay: 0.5,
            freeze_layers: 1,
            ..Tuning::default()
        };
        let rate = |name: &str| tuning.rate(name, 3);
        assert_eq!(rate("classifier.weight"), 1.0);
        assert_eq!(rate("bert.pooler.dense.bias"), 1.0);
        assert_eq!(rate("bert.encoder.layer.2.output.dense.weight"), 0.5);
        assert_eq!(rate("encoder.layer.1.output.dense.weight"), 0.25);
        assert_eq!(rate("bert.encoder.layer.0.output.dense.weight"), 0.0);
        assert_eq!(rate("bert.embeddings.LayerNorm.bias"), 0.0625);
        let frozen = Tuning {
            freeze_embeddings: true,
            ..tuning
        };
        assert_eq!(frozen.rate("embeddings.word_embeddings.weight", 3), 0.0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let message = |text: &str| {
            let tuning: Tuning = toml::from_str(text).unwrap();
            tuning.check(3).err().map(|e| e.to_string()).unwrap_or_default()
        };
        assert!(message("layer_decay = 1.5").contains("tuning.layer_decay is 1.5"));
        assert!(message("freeze_layers = 4").contains("accepted: 0 to 3"));
        assert_eq!(message("layer_decay = 0.9\nfreeze_layers = 3"), "");
    }
}
