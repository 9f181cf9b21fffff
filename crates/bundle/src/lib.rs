//! What a model directory is: layout, configs, weights, fingerprints, defaults for sampling.
//!
//! A bundle is a directory in the layout of Python's diffusers: `model_index.json` names the pipeline class, and each
//! part of the pipeline has a folder with its `config.json` and its safetensors weights. A Karlo checkpoint is a bundle
//! as it is. This crate reads and checks; the networks themselves are built in `unclip-models` and `unclip-clip`.

mod atomic;
pub mod config;
mod error;
mod fingerprint;
mod layout;
mod logit_scale;
mod manifest;
mod sampling;
mod weights;

pub use atomic::{NewFolder, write_atomically};
pub use error::BundleError;
pub use fingerprint::fingerprint;
pub use layout::{Bundle, Component, Family};
pub use manifest::{EmbeddingSpace, MANIFEST_FILE, Manifest};
pub use sampling::{
    BundleSampling, ClipDefaults, GUIDANCE_SCALE, LOGIT_SCALE, SAMPLING_FILE, STEPS, StageSampling,
};
pub use weights::{Dtype, TensorView, Weights};
