//! A copy of a checkpoint: what a bundle uses of it, and the texts beside, since a licence travels with its model.

use std::path::Path;

use anyhow::{Context as _, bail};
use unclip_bundle::{Bundle, MANIFEST_FILE, Stage};

/// Refuses a place that is taken, before anything is read.
pub(super) fn check_place(to: &Path) -> anyhow::Result<()> {
    let Ok(there) = to.metadata() else { return Ok(()) };
    if !there.is_dir() {
        bail!("{}: a file, not a directory; give a new directory", to.display());
    }
    if to.read_dir().with_context(|| format!("{} can't be read", to.display()))?.next().is_some() {
        bail!("{}: not empty; give a new directory, or remove it first", to.display());
    }
    Ok(())
}

/// Copies a bundle's files to `to`. Pickled weights and variants that are not used stay where they are.
pub(super) fn copy(bundle: &Bundle, to: &Path) -> anyhow::Result<()> {
    copy_texts(bundle.root(), to)?;
    for stage in Stage::ALL.into_iter().filter(|stage| bundle.has_stage(*stage)) {
        for component in stage.components() {
            let folder = to.join(component.folder());
            std::fs::create_dir(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
            for file in bundle.files(*component)? {
                place(&file, &folder)?;
            }
        }
    }
    Ok(())
}

/// `model_index.json`, `sampling.json`, licences and model cards.
fn copy_texts(from: &Path, to: &Path) -> anyhow::Result<()> {
    for entry in from.read_dir().with_context(|| format!("{} can't be read", from.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        let name = name.to_string_lossy();
        let is_text = [".json", ".md", ".txt"].iter().any(|ending| name.ends_with(ending))
            || ["LICENSE", "LICENCE", "NOTICE"].iter().any(|word| name.to_uppercase().starts_with(word));
        if is_text && name != MANIFEST_FILE && path.is_file() {
            place(&path, to)?;
        }
    }
    Ok(())
}

/// Weights become hard links where the file system can; small files are copies, since people edit them. Symbolic links are
/// followed: those of a model hub's cache are relative to where they lie.
fn place(file: &Path, folder: &Path) -> anyhow::Result<()> {
    let failed = || format!("{} can't be copied", file.display());
    let target = folder.join(file.file_name().unwrap_or_default());
    let real = file.canonicalize().with_context(failed)?;
    let is_weights = file.extension().is_some_and(|ending| ending == "safetensors");
    if is_weights && std::fs::hard_link(&real, &target).is_ok() {
        return Ok(());
    }
    std::fs::copy(&real, &target).with_context(failed)?;
    Ok(())
}
