//! The unCLIP networks on libtorch and their loading from safetensors.
//!
//! Networks ([`networks`]) are built from a config and a [`ParamSource`] and know nothing of files or requests; they keep
//! gradients, so they can be trained. Stages ([`PriorModel`], [`DecoderModel`], [`UpsamplerModel`]) load networks out of
//! a bundle, check their inputs, run without gradients, and take **one timestep and one context per row**, so that rows
//! of different requests share a forward pass. What a request's text contributes does not change over its steps: a
//! context computes it once.

mod check;
mod error;
mod layers;
mod params;
mod placement;
mod prior;
pub mod rows;
mod sources;
mod stages;
mod statistics;
mod text_proj;
mod unet;

/// The networks themselves, for trainers and tests.
pub mod networks {
    pub use crate::prior::PriorTransformer;
    pub use crate::text_proj::{TextProj, TextProjection};
    pub use crate::unet::{ContextBatch, KeyValues, UNet2DConditionModel, UNet2DModel, mask_bias};
}

pub use check::check_bundle;
pub use error::ModelError;
pub use params::{ParamSource, Params};
pub use placement::{Placement, auto_dtype, parse_device, parse_dtype, set_threads};
pub use sources::{Report, SafetensorsSource, ShapeCheck};
pub use stages::{DecoderContext, DecoderModel, PriorContext, PriorModel, UpsamplerContext, UpsamplerModel};
pub use statistics::EmbeddingStatistics;
