//! A run's folder that one trainer has to itself.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

use super::folder::RunInfo;
use super::{RunFolder, latest};
use crate::TrainError;
use crate::bundle::write_index;
use crate::error::{make_folder, write_json};

/// A folder that is locked, and that holds no run or one that may go on. Nothing in it has changed yet.
#[derive(Debug)]
pub struct Claim {
    folder: RunFolder,
    info: RunInfo,
    checkpoint: Option<PathBuf>,
    _lock: File,
}

impl Claim {
    /// Locks the folder at `root` until this is dropped, or its process ends.
    ///
    /// # Errors
    /// Another trainer is at work there; there is a run and it is not to `resume`, or it is of another trainer or CLIP; a
    /// place that can't be written.
    pub fn new(root: &Path, info: RunInfo, resume: bool) -> Result<Self, TrainError> {
        make_folder(root)?;
        let lock = lock(root)?;
        let folder = RunFolder::at(root);
        let checkpoint = latest(&folder.checkpoints())?;
        if checkpoint.is_some() {
            may_go_on(&folder, &info, resume)?;
        }
        discard(&folder.next())?;
        Ok(Self { folder, info, checkpoint, _lock: lock })
    }

    /// The folder.
    pub fn folder(&self) -> &RunFolder {
        &self.folder
    }

    /// The checkpoint to go on from; none in a new run.
    pub fn checkpoint(&self) -> Option<&Path> {
        self.checkpoint.as_deref()
    }

    /// Puts what the trainer wrote for its bundle in its place, once nothing can be refused any more.
    ///
    /// # Errors
    /// A place that can't be written.
    pub(super) fn begin(&self) -> Result<(), TrainError> {
        for path in [self.folder.checkpoints(), self.folder.sheets(), self.folder.bundle()] {
            make_folder(&path)?;
        }
        write_json(&self.folder.root().join("run.json"), &self.info)?;
        move_files(&self.folder.next(), &self.folder.bundle())?;
        discard(&self.folder.next())?;
        write_index(&self.folder.bundle())
    }
}

impl Drop for Claim {
    /// What was prepared for a training that did not begin is nobody's.
    fn drop(&mut self) {
        let _ = discard(&self.folder.next());
    }
}

fn lock(root: &Path) -> Result<File, TrainError> {
    let path = root.join("lock");
    let file = File::create(&path).map_err(TrainError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(TrainError::Export {
            path: root.to_path_buf(),
            reason: "another training is at work here; stop it, or choose another folder with --run".into(),
        }),
        Err(TryLockError::Error(source)) => Err(TrainError::Io { path, source }),
    }
}

fn may_go_on(folder: &RunFolder, info: &RunInfo, resume: bool) -> Result<(), TrainError> {
    let refuse = |reason: String| TrainError::Checkpoint { path: folder.root().to_path_buf(), reason };
    if !resume {
        let reason = "there is a training in this folder; go on with --resume, or give another folder";
        return Err(refuse(reason.into()));
    }
    let known = folder.info()?;
    if known.stage != info.stage {
        let (own, other) = (&info.stage, &known.stage);
        return Err(refuse(format!(
            "this is a training of the {other}, not of the {own}; give another folder"
        )));
    }
    if known.clip != info.clip {
        return Err(refuse(format!(
            "it was trained with another CLIP ({}) than --clip or the configuration gives ({}); give that one back, or \
             begin another run with --init to fit its networks to the new one",
            short(known.clip.as_deref()),
            short(info.clip.as_deref()),
        )));
    }
    for (what, known, own) in [("takes", known.takes, info.takes), ("draws", known.draws, info.draws)] {
        if let (Some(known), Some(own)) = (known, own)
            && known != own
        {
            let reason = format!(
                "it {what} pictures of {known} px, the configuration says {own} px; begin another run"
            );
            return Err(refuse(reason));
        }
    }
    Ok(())
}

/// The first digits of a fingerprint.
fn short(fingerprint: Option<&str>) -> String {
    fingerprint.map_or_else(|| "none".to_owned(), |digits| digits.chars().take(12).collect())
}

/// Moves all files below `from` to the same places below `to`.
fn move_files(from: &Path, to: &Path) -> Result<(), TrainError> {
    if !from.is_dir() {
        return Ok(());
    }
    make_folder(to)?;
    for entry in std::fs::read_dir(from).map_err(TrainError::io(from))? {
        let entry = entry.map_err(TrainError::io(from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        match source.is_dir() {
            true => move_files(&source, &target)?,
            false => std::fs::rename(&source, &target).map_err(TrainError::io(&target))?,
        }
    }
    Ok(())
}

fn discard(folder: &Path) -> Result<(), TrainError> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(TrainError::io(folder))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(stage: &str, clip: Option<&str>) -> RunInfo {
        RunInfo { clip: clip.map(str::to_owned), takes: Some(16), ..RunInfo::of(stage) }
    }

    #[test]
    fn two_trainings_do_not_share_a_folder() {
        let place = tempfile::tempdir().unwrap();
        let claim = |root: &Path| Claim::new(root, info("clip", None), false);
        let first = claim(place.path()).unwrap();
        let refused = claim(place.path()).unwrap_err().to_string();
        assert!(refused.contains("another training is at work here"), "{refused}");
        drop(first);
        claim(place.path()).unwrap();
    }

    #[test]
    fn a_run_goes_on_with_its_own_trainer_and_clip_only() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path();
        Claim::new(root, info("prior", Some("one")), false).unwrap().begin().unwrap();
        // Without a checkpoint there is nothing to lose.
        Claim::new(root, info("prior", Some("two")), false).unwrap();
        make_folder(&root.join("checkpoints/step-00000001")).unwrap();
        let refused = |info, resume| Claim::new(root, info, resume).unwrap_err().to_string();
        assert!(refused(info("prior", Some("one")), false).contains("--resume"));
        assert!(refused(info("decoder", Some("one")), true).contains("of the prior, not of the decoder"));
        assert!(refused(info("prior", Some("two")), true).contains("another CLIP (one)"));
        let smaller = RunInfo { takes: Some(8), ..info("prior", Some("one")) };
        assert!(refused(smaller, true).contains("takes pictures of 16 px, the configuration says 8 px"));
        assert!(Claim::new(root, info("prior", Some("one")), true).unwrap().checkpoint().is_some());
    }
}
