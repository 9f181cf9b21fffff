//! Starting from the weights of a bundle instead of from noise: fine-tuning.

use std::path::Path;

use unclip_bundle::Bundle;
use unclip_models::{ParamSource, SafetensorsSource};

use super::folder::COMPONENTS;
use crate::TrainError;
use crate::params::ParamStore;

/// Gives every parameter that a bundle holds the bundle's value. What no bundle holds, such as the scale of CLIP's logits,
/// stays as it is.
///
/// # Errors
/// A bundle that can't be read, or that lacks a parameter or has it in another shape.
pub(super) fn start_from(bundle: &Path, store: &mut ParamStore) -> Result<(), TrainError> {
    let bundle = Bundle::open(bundle)?;
    let wanted: Vec<(String, Vec<i64>)> =
        store.layout().entries.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect();
    for component in COMPONENTS {
        let prefix = format!("{}.", component.folder());
        let own: Vec<_> = wanted
            .iter()
            .filter_map(|(name, shape)| Some((name, name.strip_prefix(&prefix)?, shape)))
            .collect();
        if own.is_empty() {
            continue;
        }
        let weights = bundle.weights(component)?;
        let source = SafetensorsSource::new(&weights, store.placement());
        for (name, key, shape) in own {
            store.set(name, &source.tensor(key, shape)?)?;
        }
    }
    Ok(())
}
