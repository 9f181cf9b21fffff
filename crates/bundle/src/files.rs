//! Reading files: of a bundle, or named on a command line. What is no file is refused before it is opened, since a fifo
//! would hang and a device might never end.

use std::fs::{File, FileType, Metadata};
use std::io::Read as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;

use crate::BundleError;

/// The largest text file of a bundle: a tokenizer with a vocabulary of 250,000 tokens has 17 MB.
const MAX_TEXT_BYTES: u64 = 256 << 20;

/// Opens a regular file, through symbolic links. `hint` says what to do where there is none.
///
/// # Errors
/// [`BundleError::Missing`], [`BundleError::NotAFile`] and [`BundleError::Io`].
pub fn open_file(path: &Path, hint: &str) -> Result<(File, Metadata), BundleError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::NotFound => missing(path, hint),
        _ => BundleError::Io { path: path.to_path_buf(), source },
    };
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        let found = kind(metadata.file_type());
        return Err(BundleError::NotAFile { path: path.to_path_buf(), found });
    }
    Ok((File::open(path).map_err(failed)?, metadata))
}

/// Reads a regular file of at most `limit` bytes.
///
/// # Errors
/// [`BundleError::TooLarge`] besides those of [`open_file`].
pub fn read_file(path: &Path, limit: u64, hint: &str) -> Result<Vec<u8>, BundleError> {
    let (file, metadata) = open_file(path, hint)?;
    let bytes_at_least = metadata.len().max(limit + 1);
    let too_large = || BundleError::TooLarge { path: path.to_path_buf(), bytes: bytes_at_least, limit };
    if metadata.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    // A file of /proc says that it is empty, and one may grow while it is read.
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|source| BundleError::Io { path: path.to_path_buf(), source })?;
    if bytes.len() as u64 > limit { Err(too_large()) } else { Ok(bytes) }
}

/// Reads a text file of a bundle.
///
/// # Errors
/// Those of [`read_file`], and bytes that are not UTF-8.
pub fn read_text(path: &Path, hint: &str) -> Result<String, BundleError> {
    let bytes = read_file(path, MAX_TEXT_BYTES, hint)?;
    String::from_utf8(bytes).map_err(|error| BundleError::Config {
        path: path.to_path_buf(),
        reason: format!("not UTF-8 text at byte {}", error.utf8_error().valid_up_to()),
    })
}

/// The error for a file that is not there. A symbolic link that leads nowhere is one that a download left half done, or
/// whose blobs were moved away.
fn missing(path: &Path, hint: &str) -> BundleError {
    let hint = match path.read_link() {
        Ok(target) => format!("it is a symbolic link to {}, where nothing is; {hint}", target.display()),
        Err(_) => hint.to_owned(),
    };
    BundleError::Missing { path: path.to_path_buf(), hint }
}

fn kind(found: FileType) -> &'static str {
    if found.is_dir() {
        "a directory"
    } else if found.is_fifo() {
        "a fifo"
    } else if found.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    fn read(path: &Path) -> String {
        read_file(path, 10, "complete the download").unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_file_is_refused_without_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "a fifo"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a directory"),
        ] {
            let error = read(path);
            assert!(error.contains(path.to_str().unwrap()) && error.contains(kind), "{error}");
        }
    }

    #[test]
    fn a_link_that_leads_nowhere_says_where_it_leads() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("config.json");
        std::os::unix::fs::symlink("../../blobs/abc", &link).unwrap();
        let error = read(&link);
        assert!(error.contains("symbolic link to ../../blobs/abc") && error.contains("complete"), "{error}");
    }

    #[test]
    fn a_file_that_is_too_large_is_refused_with_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        std::fs::write(&path, [b' '; 10]).unwrap();
        assert_eq!(read_file(&path, 10, "").unwrap().len(), 10);
        std::fs::write(&path, [b' '; 11]).unwrap();
        let error = read(&path);
        assert!(error.contains("11 bytes") && error.contains("10"), "{error}");
        assert!(read(Path::new("/proc/self/smaps")).contains("limit"), "a file that says it is empty");
    }
}
