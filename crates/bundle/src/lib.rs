//! What a model directory is: layout, configs, weights, fingerprints, defaults for sampling.
//!
//! A bundle is a directory in the layout of Python's diffusers: `model_index.json` names the pipeline class, and each
//! part of the pipeline has a folder with its `config.json` and its safetensors weights. A Karlo checkpoint is a bundle
//! as it is. This crate reads and checks; the networks themselves are built in `unclip-models` and `unclip-clip`.

mod atomic;
pub mod config;
mod error;
mod files;
mod fingerprint;
mod finite;
mod layout;
mod logit_scale;
mod manifest;
mod sampling;
mod stage;
mod weight_files;
mod weights;

pub use atomic::{NewFolder, write_atomically};
pub use error::BundleError;
pub use files::{open_file, read_file, read_text};
pub use fingerprint::fingerprint;
pub use finite::check_finite;
pub use layout::{Bundle, Component, Family};
pub use manifest::{EmbeddingSpace, FileRecord, MANIFEST_FILE, Manifest, StageRecord};
pub use sampling::{
    BundleSampling, ClipDefaults, GUIDANCE_SCALE, LOGIT_SCALE, SAMPLING_FILE, STEPS, StageSampling,
};
pub use stage::Stage;
pub use weight_files::WeightFiles;
pub use weights::{Dtype, TensorView, Weights};
