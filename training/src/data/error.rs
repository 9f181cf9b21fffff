//! The one error type of the data set code. Every variant names the file, what is wrong and what to do.

use std::path::{Path, PathBuf};

/// Why a data set could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The operating system would not read or write a file.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file or folder that a source needs is not there.
    #[error("{path}: not found; {hint}")]
    Missing {
        /// The file or folder.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
    },
    /// A JSON file that does not parse, or lacks what it should hold.
    #[error("{path}: {reason}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A line of a captions file that cannot be used.
    #[error("{path}, line {line}: {reason}")]
    Caption {
        /// The captions file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A set whose licence a model trained on it could not honour.
    #[error("{set}: its licence is {licence:?}; only {allowed} are taken, leave the set out")]
    Licence {
        /// The set.
        set: String,
        /// What the set says about itself.
        licence: String,
        /// The licences that would do.
        allowed: String,
    },
    /// A picture that could not be drawn or decoded.
    #[error("{name}: {reason}")]
    Picture {
        /// The set and name, or the file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A store that is not one, is of another version, or is damaged.
    #[error("{path}: {reason}; build it again with `unclip train data`")]
    Store {
        /// The store.
        path: PathBuf,
        /// What was expected and what was found.
        reason: String,
    },
    /// An option that is out of range, or names what is unknown.
    #[error("{0}")]
    Options(String),
    /// A selection that no picture fits.
    #[error("{path}: no picture is left to draw from, by {selection}")]
    Nothing {
        /// The store.
        path: PathBuf,
        /// What was asked for.
        selection: String,
    },
}

impl DataError {
    /// An [`DataError::Io`] at `path`, for `map_err`.
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, source }
    }
}
