//! What a model directory is: layout, configs, weights, fingerprints, defaults for sampling.
//!
//! A bundle is a directory in the layout of Python's diffusers: `model_index.json` names the pipeline class, and each
//! part of the pipeline has a folder with its `config.json` and its safetensors weights. A Karlo checkpoint is a bundle
//! as it is. This crate reads and checks; the networks themselves are built in `unclip-models` and `unclip-clip`.

pub mod config;
mod error;
mod fingerprint;
mod layout;
mod manifest;
mod sampling;
mod weights;

pub use error::BundleError;
pub use fingerprint::fingerprint;
pub use layout::{Bundle, Component, Family};
pub use manifest::{EmbeddingSpace, MANIFEST_FILE, Manifest};
pub use sampling::{BundleSampling, GUIDANCE_SCALE, SAMPLING_FILE, STEPS, StageSampling};
pub use weights::{Dtype, TensorView, Weights};

use std::path::Path;

/// Writes a file beside its place and renames it into place, so that no reader sees half of it.
///
/// # Errors
/// A directory that can't be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let partial = path.with_extension("partial");
    std::fs::write(&partial, bytes)
        .and_then(|()| std::fs::rename(&partial, path))
        .map_err(|source| BundleError::Io { path: path.to_path_buf(), source })
}
