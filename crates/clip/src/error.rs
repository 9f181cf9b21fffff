//! The error type of this crate.

use std::path::PathBuf;

use unclip_bundle::BundleError;

/// Why a CLIP tower could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ClipError {
    /// The bundle is incomplete, damaged or not imported.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// ONNX Runtime's library is nowhere to be found.
    #[error(
        "libonnxruntime.so was not found; looked at {}; run `make setup`, or set UNCLIP_ONNXRUNTIME to the library's path",
        list(searched)
    )]
    LibraryNotFound {
        /// Every path that was tried.
        searched: Vec<PathBuf>,
    },
    /// The library was found but can't be used.
    #[error(
        "{path}: ONNX Runtime could not be loaded ({reason}); run `make setup` to fetch the version unclip is built for"
    )]
    Library {
        /// The library.
        path: PathBuf,
        /// The reason.
        reason: String,
    },
    /// A session could not be made or run.
    #[error("{path}: ONNX Runtime failed: {reason}")]
    Session {
        /// The model file.
        path: PathBuf,
        /// ONNX Runtime's words.
        reason: String,
    },
    /// The tokenizer refused a text.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// Its words.
        reason: String,
    },
    /// An image that can't be preprocessed.
    #[error("image of {width} x {height} pixels: {reason}")]
    Image {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// What is wrong with it, and what would do.
        reason: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let texts: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
    texts.join(", ")
}
