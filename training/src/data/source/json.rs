//! Reading JSON files with errors that name them.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::data::DataError;

/// What to do when a package's file is missing.
const INSTALL: &str = "run `npm ci` in training/data, or name the folder of packages with --packages";

/// Reads a JSON file of an installed package.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let bytes = fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DataError::Missing { path: path.to_owned(), hint: INSTALL },
        _ => DataError::Io { path: path.to_owned(), source },
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| DataError::Malformed { path: path.to_owned(), reason: error.to_string() })
}
