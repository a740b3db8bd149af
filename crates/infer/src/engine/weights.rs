//! Weights by name, taken out of an opened model.

use std::collections::BTreeMap;

use encoder::{Config, Var};
use kernels::{LayerNorm, Linear, Precision};

/// The variables of a model.
pub(crate) struct Weights(BTreeMap<String, Var>);

impl Weights {
    pub(crate) fn new(variables: Vec<(String, Var)>) -> Self {
        Self(variables.into_iter().collect())
    }

    /// The values of a weight, in row order.
    pub(crate) fn get(&self, name: &str) -> Result<Vec<f32>, String> {
        let var = self.0.get(name).ok_or_else(|| format!("no weight {name}"))?;
        let values = var.flatten_all().and_then(|flat| flat.to_vec1::<f32>());
        values.map_err(|error| format!("{name}: {error}"))
    }

    /// A dense layer, packed.
    pub(crate) fn linear(&self, name: &str, precision: Precision) -> Result<Linear, String> {
        self.linear_of(&format!("{name}.weight"), &format!("{name}.bias"), precision)
    }

    /// A dense layer of a weight and a bias by their names.
    pub(crate) fn linear_of(&self, weight: &str, bias: &str, precision: Precision) -> Result<Linear, String> {
        /// 8-bit sums of more would not fit into 32 bits.
        const INT8_INPUTS_MAX: usize = 1 << 16;
        let (values, bias) = (self.get(weight)?, self.get(bias)?);
        let inputs = values.len() / bias.len().max(1);
        if precision == Precision::Int8 && inputs > INT8_INPUTS_MAX {
            return Err(format!(
                "{weight} has {inputs} inputs; accepted in int8: up to {INT8_INPUTS_MAX}"
            ));
        }
        Ok(Linear::pack(&values, &bias, inputs, precision))
    }

    /// A layer norm.
    pub(crate) fn norm(&self, name: &str, config: &Config) -> Result<LayerNorm, String> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let eps = config.layer_norm_eps as f32;
        Ok(LayerNorm::new(self.get(&weight)?, self.get(&bias)?, eps))
    }
}
