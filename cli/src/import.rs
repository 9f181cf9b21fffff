//! Checking a checkpoint and preparing it for serving.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, bail};
use unclip_bundle::{Bundle, BundleError, Component, Manifest};

/// What an import found and made.
pub(crate) struct Imported {
    pub(crate) manifest: Manifest,
    /// What the checkpoint has and unclip does not use.
    pub(crate) warnings: Vec<String>,
}

/// Checks every part of the checkpoint at `from`, and writes the ONNX towers and the manifest into it, or into a copy of
/// it at `to`.
///
/// # Errors
/// Everything that is missing or does not fit, all at once; or a place that can't be written.
pub(crate) fn import(from: &Path, to: Option<&Path>) -> anyhow::Result<Imported> {
    let warnings = check(&Bundle::open(from)?)?;
    if let Some(to) = to {
        copy(from, to)?;
    }
    let root = to.unwrap_or(from);
    let bundle = Bundle::open(root)?;
    unclip_clip::export_text_tower(&bundle)?;
    if bundle.has(Component::ImageEncoder) {
        unclip_clip::export_image_tower(&bundle)?;
    }
    let manifest = Manifest::compute(&bundle)?;
    manifest.write(root)?;
    Ok(Imported { manifest, warnings })
}

/// Imports a bundle that has not been imported yet, in its place.
///
/// # Errors
/// Those of [`import`].
pub(crate) fn import_if_needed(root: &Path) -> anyhow::Result<()> {
    Bundle::open(root)?;
    match Manifest::read(root) {
        Ok(_) => Ok(()),
        Err(BundleError::NotImported { reason, .. }) => {
            tracing::info!(bundle = %root.display(), reason, "importing");
            import(root, None).map(drop).with_context(|| {
                format!(
                    "{root} could not be imported in its place; if it can't be written, use `unclip import {root} -o DIR`",
                    root = root.display()
                )
            })
        }
        Err(error) => Err(error.into()),
    }
}

fn check(bundle: &Bundle) -> anyhow::Result<Vec<String>> {
    let report = unclip_models::check_bundle(bundle);
    let mut errors: Vec<BundleError> = unclip_clip::check_text_tower(bundle);
    if bundle.has(Component::ImageEncoder) {
        errors.extend(unclip_clip::check_image_tower(bundle));
    }
    errors.extend(report.errors);
    if !errors.is_empty() {
        bail!("{} can't be imported:\n{}", bundle.root().display(), list(&errors));
    }
    Ok([report.warnings, unclip_clip::text_tower_warnings(bundle)].concat())
}

/// The errors, a line each; a file that does not fit at all would fill the screen, so only its first few are named.
fn list(errors: &[BundleError]) -> String {
    const PER_FILE: usize = 3;
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut lines = Vec::new();
    for error in errors {
        let count = counts.entry(error.path()).or_default();
        *count += 1;
        if *count <= PER_FILE {
            lines.push(format!("  - {error}"));
        }
    }
    for (path, count) in counts.into_iter().filter(|(_, count)| *count > PER_FILE) {
        lines.push(format!("  - {}: {} more of its tensors do not fit", path.display(), count - PER_FILE));
    }
    lines.join("\n")
}

/// Lays a copy of the checkpoint at `to`. Weights are hard links where the file system can; small files are copies, since
/// people edit them.
fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    if to.is_dir() && to.read_dir()?.next().is_some() {
        bail!("{}: not empty; give a new directory, or remove it first", to.display());
    }
    copy_folder(from, to)
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("{} can't be made", to.display()))?;
    for entry in from.read_dir().with_context(|| format!("{} can't be read", from.display()))? {
        let (source, target) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        if source.is_dir() {
            copy_folder(&source, &target)?;
        } else if !is_weights(&source) || std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target)
                .with_context(|| format!("{} can't be copied", source.display()))?;
        }
    }
    Ok(())
}

fn is_weights(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "safetensors")
}
