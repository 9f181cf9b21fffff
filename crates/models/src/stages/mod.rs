//! The networks of each stage behind plain inputs: loaded from a bundle, checked, without gradients.

mod decoder;
mod prior;
mod upsampler;

pub use decoder::{DecoderContext, DecoderModel};
pub use prior::{PriorContext, PriorModel};
pub use upsampler::{UpsamplerContext, UpsamplerModel};

use tch::Tensor;
use unclip_bundle::config::Config;
use unclip_bundle::{Bundle, BundleError, Component};

use crate::error::expect_len;
use crate::rows::to_i64;
use crate::{ModelError, Params, Placement, Report, SafetensorsSource, ShapeCheck};

/// Reads the config and the weights of a component and builds its network.
fn load<C: Config, N>(
    bundle: &Bundle,
    component: Component,
    placement: Placement,
    build: impl Fn(&Params, &C) -> Result<N, ModelError>,
) -> Result<(C, N), ModelError> {
    let config = bundle.config(component)?;
    let weights = bundle.weights(component)?;
    let source = SafetensorsSource::new(&weights, placement);
    let network = build(&Params::root(&source), &config)?;
    Ok((config, network))
}

/// Checks the weights of a component against its config, reading each once.
fn check<C: Config, N>(
    bundle: &Bundle,
    component: Component,
    build: impl Fn(&Params, &C) -> Result<N, ModelError>,
) -> Report {
    let failed = |error: BundleError| Report { errors: vec![error], warnings: Vec::new() };
    let (config, weights) = match (bundle.config(component), bundle.weights(component)) {
        (Ok(config), Ok(weights)) => (config, weights),
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => return failed(error),
        (Err(config), Err(weights)) => {
            let mut report = failed(config);
            report.errors.push(weights);
            return report;
        }
    };
    let source = ShapeCheck::new(&weights);
    let built = build(&Params::root(&source), &config);
    let mut report = source.finish();
    match built {
        Err(ModelError::Bundle(error)) => report.errors.push(error),
        Err(error) => report.warnings.push(error.to_string()),
        Ok(_) => {}
    }
    report
}

/// A row of values as a tensor `[1, shape...]` where the network is.
fn row(
    field: &'static str,
    values: &[f32],
    shape: &[usize],
    placement: Placement,
) -> Result<Tensor, ModelError> {
    expect_len(field, values.len(), shape.iter().product(), "values")?;
    let mut size = vec![1];
    size.extend(shape.iter().copied().map(to_i64));
    let tensor = Tensor::f_from_slice(values)?.f_view(size.as_slice())?;
    to(&tensor, placement)
}

fn to(tensor: &Tensor, placement: Placement) -> Result<Tensor, ModelError> {
    Ok(tensor.f_to_device(placement.device)?.f_to_kind(placement.kind)?)
}

/// Timesteps as a tensor `[batch]` where the network is.
fn timestep_rows(timesteps: &[u32], placement: Placement) -> Result<Tensor, ModelError> {
    let timesteps: Vec<i64> = timesteps.iter().map(|timestep| i64::from(*timestep)).collect();
    Ok(Tensor::f_from_slice(&timesteps)?.f_to_device(placement.device)?)
}

/// Checks that there is one timestep and one context per row of `x`, and at least one row.
fn expect_rows(x: &Tensor, timesteps: usize, contexts: usize) -> Result<(), ModelError> {
    let rows = x.size().first().copied().unwrap_or_default();
    let rows = usize::try_from(rows).unwrap_or_default();
    if rows == 0 {
        return Err(ModelError::input("x", "0 rows", "1 or more"));
    }
    expect_len("timesteps", timesteps, rows, "entries")?;
    expect_len("contexts", contexts, rows, "entries")
}

/// The positions of the tokens that a mask lets through, on the network's device.
fn visible(mask: impl Iterator<Item = bool>, placement: Placement) -> Result<Tensor, ModelError> {
    let positions: Vec<i64> =
        mask.zip(0_i64..).filter_map(|(visible, position)| visible.then_some(position)).collect();
    Ok(Tensor::f_from_slice(&positions)?.f_to_device(placement.device)?)
}
