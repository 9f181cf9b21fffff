//! Files that commands write: their names, and the writing itself.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use unclip_bundle::write_atomically;

use super::interrupt::whole_file;

/// Stands for standard output, and among inputs for standard input.
const DASH: &str = "-";

/// Whether the path is `-`: standard output, or standard input.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == DASH
}

/// Where picture `index` of `count` goes: the path itself, or with `-0`, `-1`, ... before the ending.
pub(crate) fn path_of(path: &Path, index: u32, count: u32) -> PathBuf {
    if count == 1 || is_dash(path) {
        return path.to_path_buf();
    }
    with_suffix(path, &format!("-{index}"))
}

/// The name of a file that nobody named: `name`, or `name_2`, `name_3`, ... where files of that name are.
pub(crate) fn free_name(name: &Path, count: u32) -> PathBuf {
    let names = (1..).map(|number| match number {
        1 => name.to_path_buf(),
        number => with_suffix(name, &format!("_{number}")),
    });
    let is_free = |path: &PathBuf| {
        (0..count.min(MAX_FILES)).all(|index| path_of(path, index, count).symlink_metadata().is_err())
    };
    names.take(MAX_NAMES).find(is_free).unwrap_or_else(|| name.to_path_buf())
}

/// More pictures than any call draws.
const MAX_FILES: u32 = 4096;

/// Beyond so many files of one name the search ends.
const MAX_NAMES: usize = 100_000;

/// The path with `suffix` before its ending.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_stem().unwrap_or_default().to_owned();
    name.push(suffix);
    if let Some(ending) = path.extension() {
        name.push(".");
        name.push(ending);
    }
    path.with_file_name(name)
}

/// Writes a file whole or not at all, and the folder it goes into; `-` is standard output.
///
/// # Errors
/// A place that can't be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let _whole = whole_file();
    if is_dash(path) {
        let mut out = std::io::stdout().lock();
        return out.write_all(bytes).and_then(|()| out.flush()).context("standard output can't be written");
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    write_atomically(path, bytes).with_context(|| format!("{} can't be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_get_numbers() {
        assert_eq!(path_of(Path::new("out/a.b.png"), 0, 1), Path::new("out/a.b.png"));
        assert_eq!(path_of(Path::new("out/a.b.png"), 3, 4), Path::new("out/a.b-3.png"));
        assert_eq!(path_of(Path::new("out/a"), 3, 4), Path::new("out/a-3"));
        assert_eq!(path_of(Path::new("-"), 0, 4), Path::new("-"));
    }

    #[test]
    fn a_name_that_nobody_gave_is_a_free_one() {
        let folder = tempfile::tempdir().unwrap();
        let name = folder.path().join("a.png");

        assert_eq!(free_name(&name, 1), name);
        for taken in ["a.png", "a_2-1.png"] {
            std::fs::write(folder.path().join(taken), "").unwrap();
        }
        assert_eq!(free_name(&name, 1), folder.path().join("a_2.png"));
        assert_eq!(free_name(&name, 2), folder.path().join("a.png"), "a-0.png and a-1.png are free");
    }
}
