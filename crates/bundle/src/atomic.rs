//! Files and folders that appear whole or not at all.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tempfile::{Builder, TempDir};

use crate::BundleError;

/// How what is not finished yet is named; it lies beside what it will be, since a rename can't leave a file system.
const PREFIX: &str = ".unclip-";
const SUFFIX: &str = ".partial";

/// Writes a file beside its place, brings it to the disk and renames it into place: a reader sees the old file or the
/// whole new one, and a full disk leaves nothing. Symbolic links are followed, a file's permissions stay. What is there
/// and is no file, as `/dev/stdout` or a fifo, is written into, for it can't be replaced.
///
/// # Errors
/// [`BundleError::Io`] for a place that can't be written.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    write(path, bytes).map_err(|source| BundleError::Io { path: path.to_path_buf(), source })
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    let there = target.metadata().ok();
    match &there {
        Some(there) if there.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        Some(there) if !there.is_file() => {
            return std::fs::OpenOptions::new().write(true).open(&target)?.write_all(bytes);
        }
        _ => {}
    }
    let mut builder = Builder::new();
    builder.prefix(PREFIX).suffix(SUFFIX).permissions(Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(parent(&target))?;
    file.write_all(bytes)?;
    if let Some(there) = there {
        file.as_file().set_permissions(there.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|error| error.error)?;
    Ok(())
}

/// A folder in the making, beside its place. Dropped before [`Self::finish`] it is gone, with all that is in it.
pub struct NewFolder {
    partial: TempDir,
    target: PathBuf,
}

impl NewFolder {
    /// Begins the folder that will stand at `target`, whose parents are made.
    ///
    /// # Errors
    /// [`BundleError::Io`] for a place that can't be written.
    pub fn begin(target: &Path) -> Result<Self, BundleError> {
        let io = |source| BundleError::Io { path: target.to_path_buf(), source };
        std::fs::create_dir_all(parent(target)).map_err(io)?;
        let mut builder = Builder::new();
        builder.prefix(PREFIX).suffix(SUFFIX).permissions(Permissions::from_mode(0o777));
        let partial = builder.tempdir_in(parent(target)).map_err(io)?;
        Ok(Self { partial, target: target.to_path_buf() })
    }

    /// Where it lies until it is finished.
    pub fn path(&self) -> &Path {
        self.partial.path()
    }

    /// Renames it into its place, which must be free or an empty folder.
    ///
    /// # Errors
    /// [`BundleError::Io`] where something is at its place.
    pub fn finish(mut self) -> Result<(), BundleError> {
        std::fs::rename(self.partial.path(), &self.target)
            .map_err(|source| BundleError::Io { path: self.target.clone(), source })?;
        self.partial.disable_cleanup(true);
        Ok(())
    }
}

/// The folder that a path lies in.
fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_whole_and_keeps_its_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        write_atomically(&path, b"old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let reader = std::fs::File::open(&path).unwrap();
        write_atomically(&path, b"new and longer").unwrap();
        assert_eq!(io::read_to_string(reader).unwrap(), "old", "who reads it reads on in the old one");
        assert_eq!(std::fs::read(&path).unwrap(), b"new and longer");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(folder.path()), ["a.png"]);
    }

    #[test]
    fn a_link_stays_a_link_and_a_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        std::fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        write_atomically(&link, b"new").unwrap();
        assert!(link.is_symlink() && std::fs::read(&file).unwrap() == b"new");
        assert!(write_atomically(folder.path(), b"x").unwrap_err().to_string().contains("directory"));
        assert!(write_atomically(&folder.path().join("none/x"), b"x").is_err());
        assert_eq!(names(folder.path()), ["file", "link"]);
    }

    #[test]
    fn what_is_no_file_is_written_into() {
        write_atomically(Path::new("/dev/null"), b"x").unwrap();
        assert!(!Path::new("/dev/null").metadata().unwrap().is_file(), "a device is never replaced");
        let full = write_atomically(Path::new("/dev/full"), b"x").unwrap_err().to_string();
        assert!(full.contains("/dev/full") && full.contains("space"), "{full}");
    }

    #[test]
    fn a_folder_appears_when_it_is_finished_and_is_gone_when_it_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("a/b");
        let folder = NewFolder::begin(&target).unwrap();
        std::fs::write(folder.path().join("x"), "x").unwrap();
        assert!(!target.exists());
        drop(folder);
        assert_eq!(names(&parent.path().join("a")), [""; 0]);
        std::fs::create_dir(&target).unwrap();
        for expected in [true, false] {
            let folder = NewFolder::begin(&target).unwrap();
            std::fs::write(folder.path().join("x"), "x").unwrap();
            assert_eq!(folder.finish().is_ok(), expected, "an empty folder is taken, a full one is not");
            assert_eq!(names(&parent.path().join("a")), ["b"]);
        }
        assert_eq!(names(&target), ["x"]);
    }
}
