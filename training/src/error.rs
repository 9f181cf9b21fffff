//! The one error type of the trainers.

use std::path::{Path, PathBuf};

use unclip_bundle::BundleError;
use unclip_clip::ClipError;
use unclip_models::ModelError;

use crate::data::DataError;

/// Why a training could not start, go on or be exported.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The operating system would not read or write a file.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A training configuration that does not parse, or asks for what can't be.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// Every key that is wrong, its value and what is supported.
        reason: String,
    },
    /// A checkpoint that is damaged or of another network.
    #[error("{path}: {reason}")]
    Checkpoint {
        /// The checkpoint's folder or file.
        path: PathBuf,
        /// What was expected, what was found and what to do.
        reason: String,
    },
    /// Runs that don't belong together, a folder that is no run, or one that is taken.
    #[error("{path}: {reason}")]
    Export {
        /// The run's folder.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The loss or its gradients are no numbers any more.
    #[error("step {step}: {reason}; lower optimisation.learning_rate, then go on from the last checkpoint")]
    Diverged {
        /// The step.
        step: u64,
        /// What was found.
        reason: String,
    },
    /// The tokenizer could not be made from the captions.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A picture could not be written.
    #[error("{path}: {source}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: image::ImageError,
    },
    /// The data set.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A bundle's files.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A network.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// CLIP's tokenizer or preprocessing.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// A noise schedule or a sampler.
    #[error(transparent)]
    Diffusion(#[from] unclip_diffusion::Error),
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
    /// A thread of the trainer ended before its work did.
    #[error("{0} stopped unexpectedly; its own message is above")]
    Thread(&'static str),
}

impl TrainError {
    /// Something of another shape than this crate's own parts agree on.
    pub(crate) fn shape(field: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        let (found, expected) = (found.to_string(), expected.to_string());
        Self::Model(ModelError::Input { field, found, expected })
    }

    /// Turns an I/O error at `path` into this type.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_path_buf(), source }
    }
}

/// Writes JSON with the bundle's atomic rename.
pub(crate) fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), TrainError> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|error| TrainError::Config { path: path.to_path_buf(), reason: error.to_string() })?;
    text.push('\n');
    Ok(unclip_bundle::write_atomically(path, text.as_bytes())?)
}

/// Makes a folder and those above it.
pub(crate) fn make_folder(path: &Path) -> Result<(), TrainError> {
    std::fs::create_dir_all(path).map_err(TrainError::io(path))
}
