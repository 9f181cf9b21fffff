//! What a command is going to write, checked before it draws anything.

use std::collections::HashSet;
use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::bail;

use super::files::{is_dash, path_of};
use super::use_standard_output_for_data;

/// What is written to a folder to see that there is room: more than a picture of the demo bundle takes.
static PROBE: [u8; 64 << 10] = [0; 64 << 10];

/// More files of one flag are not looked at: no call draws so many.
const MAX_FILES: u32 = 4096;

/// What a file holds, which its ending must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A picture.
    Picture,
    /// An animation.
    Gif,
    /// Embeddings and other tensors.
    Tensors,
    /// A receipt.
    Json,
    /// Whatever its name says.
    Any,
}

impl Kind {
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Picture => &["png", "jpg", "jpeg", "webp"],
            Self::Gif => &["gif"],
            Self::Tensors => &["safetensors"],
            Self::Json => &["json"],
            Self::Any => &[],
        }
    }

    fn named(self) -> &'static str {
        match self {
            Self::Picture => ".png, .jpg or .webp",
            Self::Gif => ".gif",
            Self::Tensors => ".safetensors",
            Self::Json | Self::Any => ".json",
        }
    }

    fn fits(self, path: &Path) -> bool {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        self == Self::Any || self.endings().iter().any(|known| ending.eq_ignore_ascii_case(known))
    }
}

/// The files of one run of a command.
#[derive(Debug)]
pub(crate) struct Plan {
    overwrite: bool,
    files: Vec<(&'static str, PathBuf)>,
    problems: Vec<String>,
}

impl Plan {
    /// No files yet. Files that exist are refused unless `overwrite`.
    pub(crate) fn new(overwrite: bool) -> Self {
        Self { overwrite, files: Vec::new(), problems: Vec::new() }
    }

    /// Adds the file that `flag` names.
    pub(crate) fn file(&mut self, flag: &'static str, path: &Path, kind: Kind) {
        self.numbered(flag, path, 1, kind);
    }

    /// Adds the files that `flag` names when there are `count` of them.
    pub(crate) fn numbered(&mut self, flag: &'static str, path: &Path, count: u32, kind: Kind) {
        if is_dash(path) {
            if count > 1 {
                self.problem(flag, format!("standard output takes one file, not {count}; give a name"));
            }
            self.files.push((flag, path.to_path_buf()));
        } else if !kind.fits(path) {
            let text = format!("{} has no ending that names a format; use {}", path.display(), kind.named());
            self.problem(flag, text);
        } else {
            self.files.extend((0..count.min(MAX_FILES)).map(|index| (flag, path_of(path, index, count))));
        }
    }

    /// Adds a folder that will be filled.
    pub(crate) fn folder(&mut self, flag: &'static str, path: &Path) {
        let taken = path.read_dir().is_ok_and(|mut entries| entries.next().is_some());
        if is_dash(path) {
            self.problem(flag, "standard output takes one file; give a folder".to_owned());
        } else if taken && !self.overwrite {
            let text =
                format!("{} is not empty; give another folder, or allow it with --overwrite", path.display());
            self.problem(flag, text);
        } else if path.exists() && !path.is_dir() {
            self.problem(flag, format!("{} is a file; give a folder", path.display()));
        }
        self.files.push((flag, path.join("file")));
    }

    fn problem(&mut self, flag: &'static str, text: String) {
        self.problems.push(format!("{flag}: {text}"));
    }

    /// Finds out whether all of it can be written.
    ///
    /// # Errors
    /// All that can't, a line each.
    pub(crate) fn check(mut self) -> anyhow::Result<()> {
        let files = std::mem::take(&mut self.files);
        let (mut seen, mut probed) = (HashSet::new(), HashSet::new());
        for (flag, path) in &files {
            let flag = *flag;
            if !seen.insert(place(path)) {
                self.problem(
                    flag,
                    format!("{} is written by another flag too; give another name", path.display()),
                );
            } else if is_dash(path) {
                self.standard_output(flag);
            } else if let Some(text) = self.occupied(path) {
                self.problem(flag, text);
            } else if !is_device(path)
                && probed.insert(ancestor(path))
                && let Err(error) = probe(&ancestor(path))
            {
                self.problem(flag, format!("{} can't be written: {error}", path.display()));
            }
        }
        match self.problems.is_empty() {
            true => Ok(()),
            false => bail!("{}", self.problems.join("\n")),
        }
    }

    fn standard_output(&mut self, flag: &'static str) {
        use_standard_output_for_data();
        if std::io::stdout().is_terminal() {
            self.problem(flag, "standard output is a terminal; send it to a file or a program".to_owned());
        }
    }

    /// What is wrong with what is at the file's place.
    fn occupied(&self, path: &Path) -> Option<String> {
        let name = path.display();
        if path.file_name().is_none() || path.as_os_str().as_encoded_bytes().ends_with(b"/") {
            return Some(format!("`{name}` names no file"));
        }
        match std::fs::metadata(path) {
            Ok(there) if there.is_dir() => Some(format!("{name} is a folder; give a file")),
            Ok(there) if there.is_file() && !self.overwrite => {
                Some(format!("{name} exists; give another name, or allow it with --overwrite"))
            }
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Some(format!("{name} can't be written: {error}"))
            }
            // A device or a pipe is written into.
            _ => None,
        }
    }
}

/// Whether it is there and neither file nor folder, as a device or a pipe.
fn is_device(path: &Path) -> bool {
    path.metadata().is_ok_and(|there| !there.is_file() && !there.is_dir())
}

/// The path that two names of a file have in common.
fn place(path: &Path) -> PathBuf {
    let folder = ancestor(path);
    match (folder.canonicalize(), path.strip_prefix(&folder)) {
        (Ok(full), Ok(rest)) => full.join(rest),
        (Ok(full), Err(_)) => full.join(path),
        _ => path.to_path_buf(),
    }
}

/// The nearest folder above that exists.
fn ancestor(path: &Path) -> PathBuf {
    let named = path.ancestors().skip(1).filter(|folder| !folder.as_os_str().is_empty());
    named.into_iter().find(|folder| folder.exists()).unwrap_or(Path::new(".")).to_path_buf()
}

/// Writes a file that has no name, and so is gone with this program.
fn probe(folder: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&PROBE)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(add: impl FnOnce(&mut Plan)) -> String {
        let mut plan = Plan::new(false);
        add(&mut plan);
        plan.check().map_or_else(|error| error.to_string(), |()| String::new())
    }

    #[test]
    fn endings_say_what_is_in_a_file() {
        for (name, kind, fits) in [
            ("x.JPEG", Kind::Picture, true),
            ("x.gif", Kind::Picture, false),
            ("x", Kind::Picture, false),
            ("x.gif", Kind::Gif, true),
            ("x.SAFETENSORS", Kind::Tensors, true),
            ("x.png", Kind::Json, false),
            ("x", Kind::Any, true),
        ] {
            assert_eq!(kind.fits(Path::new(name)), fits, "{name}");
        }
    }

    #[test]
    fn what_is_there_is_not_overwritten_unless_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.png");
        std::fs::write(&path, "").unwrap();
        assert!(problems(|plan| plan.file("--sheet", &path, Kind::Picture)).contains("--sheet: "));
        assert!(problems(|plan| plan.folder("--previews", folder.path())).contains("is not empty"));
        let mut plan = Plan::new(true);
        plan.file("--sheet", &path, Kind::Picture);
        plan.folder("--previews", folder.path());
        plan.check().unwrap();
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "the probe leaves nothing");
    }

    #[test]
    fn all_that_can_not_be_written_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let (file, long) = (folder.path().join("a.png"), folder.path().join("x".repeat(300) + ".png"));
        std::fs::write(&file, "").unwrap();
        let text = problems(|plan| {
            plan.numbered("--output", &folder.path().join("new/b.png"), 3, Kind::Picture);
            plan.file("--sheet", &folder.path().join("new/../new/b-1.png"), Kind::Picture);
            plan.file("--gif", &file, Kind::Gif);
            plan.file("--receipt", &file.join("x.json"), Kind::Json);
            plan.file("--tensors", folder.path(), Kind::Any);
            plan.file("--reconstruction", &long, Kind::Picture);
            plan.numbered("--output", Path::new("-"), 2, Kind::Picture);
            plan.file("--output", &folder.path().join("new/"), Kind::Any);
            plan.file("--output", Path::new(""), Kind::Any);
            plan.folder("--previews", Path::new("-"));
        });
        for part in [
            "--gif: ",
            "use .gif",
            "--receipt: ",
            "ot a directory",
            "--tensors: ",
            "is a folder",
            "--reconstruction: ",
            "too long",
            "standard output takes one file, not 2",
            "new/` names no file",
            "`` names no file",
            "--previews: standard output takes one file; give a folder",
        ] {
            assert!(text.contains(part), "{text}\nshould contain\n{part}");
        }
        let twice = problems(|plan| {
            plan.numbered("--output", &folder.path().join("b.png"), 3, Kind::Picture);
            plan.file("--sheet", &folder.path().join("./b-1.png"), Kind::Picture);
        });
        assert!(twice.contains("--sheet: ") && twice.contains("by another flag too"), "{twice}");
    }

    #[test]
    fn devices_are_written_into() {
        assert_eq!(problems(|plan| plan.file("--output", Path::new("/dev/null"), Kind::Any)), "");
    }
}
