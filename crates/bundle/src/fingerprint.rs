//! What a model is, as a short text: the hash of everything that decides its results. And a cheap one that notices when
//! files are no longer those.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::{BundleError, files, weight_files};

/// Hexadecimal digits of a hash: 128 bits of BLAKE3.
const DIGITS: usize = 32;

/// Places of a weights file that its digest looks at, and how much of each. A file of other weights differs in all.
const PLACES: u64 = 16;
const PLACE_BYTES: usize = 4096;

/// The longest safetensors header, as the format has it.
const MAX_HEADER: u64 = 100_000_000;

/// Hashes files, in the order given, into 32 hexadecimal digits (128 bits of BLAKE3). The files' names do not count.
///
/// # Errors
/// A file that can't be read.
pub fn fingerprint(files: &[PathBuf]) -> Result<String, BundleError> {
    let mut hasher = blake3::Hasher::new();
    for path in files {
        let (file, _) = open(path)?;
        let hash = hash_all(&file).map_err(|source| BundleError::Io { path: path.clone(), source })?;
        // The hash of hashes, so that bytes can't move from one file to the next unnoticed.
        hasher.update(hash.as_bytes());
    }
    Ok(hex(&hasher))
}

/// A hash that costs no more than some pages of a file however large it is: of a weights file its header and places spread
/// over its data, of any other the whole.
///
/// # Errors
/// A file that can't be read.
pub(crate) fn digest(path: &Path) -> Result<String, BundleError> {
    let (file, metadata) = open(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_large = weight_files::is_weights(&name) && name.ends_with(".safetensors");
    let mut hasher = blake3::Hasher::new();
    let read = if is_large { sample(&file, metadata.len(), &mut hasher) } else { whole(&file, &mut hasher) };
    read.map_err(|source| BundleError::Io { path: path.to_path_buf(), source })?;
    Ok(hex(&hasher))
}

fn open(path: &Path) -> Result<(File, std::fs::Metadata), BundleError> {
    files::open_file(path, "it was there at import; run `unclip import` again")
}

fn hash_all(file: &File) -> std::io::Result<blake3::Hash> {
    let mut hasher = blake3::Hasher::new();
    whole(file, &mut hasher)?;
    Ok(hasher.finalize())
}

fn whole(file: &File, hasher: &mut blake3::Hasher) -> std::io::Result<()> {
    hasher.update_reader(file)?;
    Ok(())
}

/// The length of the header, the header, and the places.
fn sample(file: &File, length: u64, hasher: &mut blake3::Hasher) -> std::io::Result<()> {
    if length < 8 {
        return whole(file, hasher);
    }
    let mut size = [0; 8];
    file.read_exact_at(&mut size, 0)?;
    let header = u64::from_le_bytes(size).min(MAX_HEADER) + 8;
    hasher.update_reader(file.take(header))?;
    let mut place = [0; PLACE_BYTES];
    let span = length.saturating_sub(header + PLACE_BYTES as u64);
    for at in 0..PLACES {
        let offset = header + span / (PLACES - 1) * at;
        let wanted = usize::try_from(length.saturating_sub(offset)).unwrap_or(PLACE_BYTES).min(PLACE_BYTES);
        file.read_exact_at(&mut place[..wanted], offset)?;
        hasher.update(&place[..wanted]);
    }
    Ok(())
}

fn hex(hasher: &blake3::Hasher) -> String {
    hasher.finalize().to_hex()[..DIGITS].to_owned()
}
