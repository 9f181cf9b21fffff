//! The unCLIP networks on libtorch and their loading from safetensors.
//!
//! Networks ([`networks`]) are built from a config and a [`ParamSource`] and know nothing of files or requests; they keep
//! gradients, so they can be trained. Stages ([`PriorModel`], [`DecoderModel`], [`UpsamplerModel`]) load networks out of
//! a bundle, check their inputs, run without gradients, and take **one timestep and one context per row**, so that rows
//! of different requests share a forward pass. What a request's text contributes does not change over its steps: a
//! context computes it once.
//!
//! On the CPU a row should come out the same, to the last bit, whoever shares its pass. libtorch picks some kernels by the
//! number of rows; where that is known, the layers (`layers/steady.rs`) ask for one kernel whatever the number.

mod check;
mod context;
mod error;
mod layers;
mod params;
mod placement;
mod prior;
pub mod rows;
mod schedules;
mod sources;
mod stages;
mod statistics;
mod text_proj;
mod unet;

/// The networks themselves, for trainers and tests.
pub mod networks {
    pub use crate::context::{ContextBatch, KeyValues, mask_bias};
    pub use crate::prior::PriorTransformer;
    pub use crate::text_proj::{TextProj, TextProjection};
    pub use crate::unet::{UNet2DConditionModel, UNet2DModel};
}

pub use check::check_bundle;
pub use error::ModelError;
pub use params::{ParamSource, Params};
pub use placement::{Placement, auto_dtype, parse_device, parse_dtype, set_threads};
pub use sources::{Report, SafetensorsSource, ShapeCheck};
pub use stages::{DecoderContext, DecoderModel, PriorContext, PriorModel, UpsamplerContext, UpsamplerModel};
pub use statistics::EmbeddingStatistics;
