//! The one error type of this crate. Every variant names the file, what was expected, what was found and what to do.

use std::path::{Path, PathBuf};

/// Why a bundle could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// A file or folder that the layout requires is not there.
    #[error("{path}: not found; {hint}")]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What to do about it.
        hint: String,
    },
    /// A file is there but the operating system would not read or write it.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// What should be a file is something else, and was not opened.
    #[error("{path}: {found}, not a file")]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// A file that no such file is as large as.
    #[error("{path}: {bytes} bytes or more, the limit is {limit}; it is no such file")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Weights exist only as pickle, which can run code when it is loaded.
    #[error(
        "{path}: pickled weights are never loaded, because a pickle can run code; convert them to {expected} \
         (in Python: from_pretrained(..., use_safetensors=False), then save_pretrained(..., safe_serialization=True))"
    )]
    Pickle {
        /// The pickled file.
        path: PathBuf,
        /// The file that is wanted in its place.
        expected: String,
    },
    /// A JSON file that does not parse, or a key with a value of the wrong type.
    #[error("{path}: {reason}")]
    Config {
        /// The JSON file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A key with a value that unclip does not implement.
    #[error("{path}: {key} is {found}, supported: {supported}")]
    Unsupported {
        /// The JSON file.
        path: PathBuf,
        /// The key.
        key: String,
        /// Its value.
        found: String,
        /// The values that would do.
        supported: String,
    },
    /// A safetensors file that is damaged.
    #[error("{path}: not a readable safetensors file ({reason}); download or convert it again")]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// Weights that are there in several variants, or not in the one that was asked for.
    #[error("{path}: {reason}")]
    Variant {
        /// The component's folder.
        path: PathBuf,
        /// Which variants there are, and what to do.
        reason: String,
    },
    /// A tensor that holds a value that is no number.
    #[error(
        "{path}: tensor `{tensor}` has {count} values that are NaN or infinite, the first at index {first}; \
         the file is damaged, or training went astray: download it again, or take an earlier checkpoint"
    )]
    NotFinite {
        /// The safetensors file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// How many there are.
        count: usize,
        /// Index of the first, row-major.
        first: usize,
    },
    /// A tensor that the config asks for is not in the file.
    #[error(
        "{path}: tensor `{tensor}` of shape {expected:?} is missing; the file does not fit its config.json"
    )]
    MissingTensor {
        /// The safetensors file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape that the config asks for.
        expected: Vec<usize>,
    },
    /// A tensor has another shape than the config asks for.
    #[error(
        "{path}: tensor `{tensor}` has shape {found:?}, its config.json asks for {expected:?}; weights and config are \
         of different models"
    )]
    Shape {
        /// The safetensors file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The shape that the config asks for.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tensor has a dtype that networks are not loaded from.
    #[error("{path}: tensor `{tensor}` is {found}, supported: F32, F16, BF16")]
    TensorDtype {
        /// The safetensors file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// The dtype in the file.
        found: String,
    },
    /// Two parts of the bundle don't fit together.
    #[error("{left} and {right} do not fit: {reason}")]
    Mismatch {
        /// One part, as `prior/config.json embedding_dim`.
        left: String,
        /// The other part.
        right: String,
        /// The two values.
        reason: String,
    },
    /// The bundle lacks a part that a stage is made of.
    #[error("{path}: not there, so this bundle has no {stage}; {advice}")]
    NoStage {
        /// The part's folder.
        path: PathBuf,
        /// The stage.
        stage: &'static str,
        /// What to do about it.
        advice: String,
    },
    /// The bundle has not been imported, or its files changed since.
    #[error("{path}: {reason}; run `unclip import {path}`")]
    NotImported {
        /// The bundle.
        path: PathBuf,
        /// What is missing or stale.
        reason: String,
    },
}

impl BundleError {
    /// [`BundleError::Missing`].
    pub(crate) fn missing(path: &Path, hint: &str) -> Self {
        Self::Missing { path: path.to_path_buf(), hint: hint.to_owned() }
    }

    /// The file or folder that is at fault. Where two parts don't fit together there is none: an empty path.
    pub fn path(&self) -> &Path {
        match self {
            Self::Missing { path, .. }
            | Self::Io { path, .. }
            | Self::NotAFile { path, .. }
            | Self::TooLarge { path, .. }
            | Self::Pickle { path, .. }
            | Self::Config { path, .. }
            | Self::Unsupported { path, .. }
            | Self::Safetensors { path, .. }
            | Self::Variant { path, .. }
            | Self::NotFinite { path, .. }
            | Self::MissingTensor { path, .. }
            | Self::Shape { path, .. }
            | Self::TensorDtype { path, .. }
            | Self::NoStage { path, .. }
            | Self::NotImported { path, .. } => path,
            Self::Mismatch { .. } => Path::new(""),
        }
    }
}
