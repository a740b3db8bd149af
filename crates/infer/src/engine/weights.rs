//! Where an encoder takes its parts from.

use encoder::{Config, ModelFiles, StoredWeights};
use kernels::{LayerNorm, Linear, Lines, Precision};

/// 8-bit sums of more inputs would not fit into 32 bits.
const INT8_INPUTS_MAX: usize = 1 << 16;

/// Gives the parts of an encoder by name.
pub(crate) trait Parts {
    /// A dense layer. With `stacked`, its outputs are those of the layers of these names under `name`, one after
    /// the other. `shape` is outputs and inputs of one stored layer.
    fn linear(&mut self, name: &str, stacked: &[&str], shape: [usize; 2]) -> Result<Linear, String>;

    /// Values in row order, filled up to whole lines.
    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Lines, String>;

    /// A layer norm over hidden states.
    fn norm(&mut self, name: &str, config: &Config) -> Result<LayerNorm, String> {
        let width = config.hidden_size;
        let mut values = |what: &str| -> Result<Vec<f32>, String> {
            let lines = self.values(&format!("{name}.{what}"), &[width])?;
            Ok(lines.floats()[..width].to_vec())
        };
        let (weight, bias) = (values("weight")?, values("bias")?);
        Ok(LayerNorm::new(weight, bias, config.layer_norm_eps as f32))
    }
}

/// The weights of a model folder, packed when they are asked for.
pub(crate) struct Weights {
    stored: StoredWeights,
    precision: Precision,
}

impl Weights {
    /// Opens `model.safetensors`, which has no more layers than the configuration says.
    pub(crate) fn open(files: &ModelFiles, config: &Config, precision: Precision) -> Result<Self, String> {
        let weights = Self::of_file(files, "model.safetensors", precision)?;
        weights
            .stored
            .check_layers(config.num_hidden_layers)
            .map_err(|error| error.to_string())?;
        Ok(weights)
    }

    /// Opens any file of weights.
    pub(crate) fn of_file(files: &ModelFiles, name: &str, precision: Precision) -> Result<Self, String> {
        let stored = StoredWeights::open(files, name).map_err(|error| error.to_string())?;
        Ok(Self { stored, precision })
    }

    fn get(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, String> {
        self.stored.get(name, shape).map_err(|error| error.to_string())
    }

    /// A dense layer whose weight and bias have names of their own.
    pub(crate) fn linear_of(&self, weight: &str, bias: &str, shape: [usize; 2]) -> Result<Linear, String> {
        let [outputs, inputs] = shape;
        self.pack(
            &self.get(weight, &shape)?,
            &self.get(bias, &[outputs])?,
            weight,
            inputs,
        )
    }

    fn pack(&self, weight: &[f32], bias: &[f32], name: &str, inputs: usize) -> Result<Linear, String> {
        if self.precision == Precision::Int8 && inputs > INT8_INPUTS_MAX {
            return Err(format!(
                "{name} has {inputs} inputs; accepted in int8: up to {INT8_INPUTS_MAX}"
            ));
        }
        Ok(Linear::pack(weight, bias, inputs, self.precision))
    }
}

impl Parts for Weights {
    fn linear(&mut self, name: &str, stacked: &[&str], shape: [usize; 2]) -> Result<Linear, String> {
        let [outputs, inputs] = shape;
        if stacked.is_empty() {
            return self.linear_of(&format!("{name}.weight"), &format!("{name}.bias"), shape);
        }
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for part in stacked {
            weight.extend(self.get(&format!("{name}.{part}.weight"), &shape)?);
            bias.extend(self.get(&format!("{name}.{part}.bias"), &[outputs])?);
        }
        self.pack(&weight, &bias, name, inputs)
    }

    fn values(&mut self, name: &str, shape: &[usize]) -> Result<Lines, String> {
        Ok(self.get(name, shape)?.as_slice().into())
    }
}
