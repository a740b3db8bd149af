//! Weights by name, taken out of an opened model.

use std::collections::BTreeMap;

use encoder::Var;
use kernels::{Linear, Precision};

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
        let weight = self.get(&format!("{name}.weight"))?;
        let bias = self.get(&format!("{name}.bias"))?;
        let inputs = weight.len() / bias.len().max(1);
        Ok(Linear::pack(&weight, &bias, inputs, precision))
    }
}
