//! What a model is, as a short text: the hash of everything that decides its results.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::BundleError;

/// Hashes files, in the order given, into 32 hexadecimal digits (128 bits of BLAKE3). The files' names do not count.
///
/// # Errors
/// A file that can't be read.
pub fn fingerprint(files: &[PathBuf]) -> Result<String, BundleError> {
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let hash = hash_file(path).map_err(|source| BundleError::Io { path: path.clone(), source })?;
        // The hash of hashes, so that bytes can't move from one file to the next unnoticed.
        hasher.update(hash.as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

fn hash_file(path: &Path) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(hasher.finalize())
}
