//! Checking a checkpoint and preparing it for serving.

use std::path::Path;

use anyhow::{Context as _, bail};
use unclip_bundle::{Bundle, BundleError, Component, Manifest};

/// What an import found and made.
pub(crate) struct Imported {
    pub(crate) manifest: Manifest,
    /// What the checkpoint has and unclip does not use.
    pub(crate) warnings: Vec<String>,
}

/// Checks every part of the checkpoint at `root`, writes the ONNX towers and the manifest into it.
///
/// # Errors
/// Everything that is missing or does not fit, all at once.
pub(crate) fn import(root: &Path) -> anyhow::Result<Imported> {
    let bundle = Bundle::open(root)?;
    let warnings = check(&bundle)?;
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
            import(root).map(drop).with_context(|| {
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
        let lines: Vec<_> = errors.iter().map(|error| format!("  - {error}")).collect();
        bail!("{} can't be imported:\n{}", bundle.root().display(), lines.join("\n"));
    }
    Ok(report.warnings)
}

/// Lays a copy of the checkpoint at `to`: hard links where the file system can, copies where it can't.
///
/// # Errors
/// A target that is not empty or can't be written.
pub(crate) fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    Bundle::open(from)?;
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
        } else if std::fs::hard_link(&source, &target).is_err() {
            std::fs::copy(&source, &target)
                .with_context(|| format!("{} can't be copied", source.display()))?;
        }
    }
    Ok(())
}
