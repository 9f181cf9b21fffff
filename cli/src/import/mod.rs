//! Checking a checkpoint and preparing it for serving.

mod abilities;
mod copy;
mod notes;
mod steps;

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use anyhow::{Context as _, bail};
use unclip_bundle::{Bundle, BundleError, Manifest, NewFolder, Stage};

pub(crate) use abilities::{Ability, abilities};

use crate::output::Unfinished;

/// What an import found and made.
pub(crate) struct Imported {
    pub(crate) manifest: Manifest,
    /// What a person should know: which of several files were taken, and what the checkpoint has that unclip does not use.
    pub(crate) notes: Vec<String>,
    /// What the bundle is good for.
    pub(crate) abilities: Vec<Ability>,
}

/// Checks every part of the checkpoint at `from`, and writes the ONNX towers and the manifest into it, or into a copy of
/// it at `to`, which appears when it is whole. `variant` names the weights to take where a part has several.
///
/// # Errors
/// Everything that is missing or does not fit, all at once; or a place that can't be written.
pub(crate) fn import(from: &Path, to: Option<&Path>, variant: Option<&str>) -> anyhow::Result<Imported> {
    let bundle = Bundle::open(from)?.with_variant(variant.map(str::to_owned));
    if let Some(to) = to {
        copy::check_place(to)?;
    }
    let notes = check(&bundle)?;
    let manifest = match to {
        None => prepare(&bundle)?,
        Some(to) => lay(&bundle, to).with_context(|| format!("{} could not be made", to.display()))?,
    };
    Ok(Imported { manifest, notes, abilities: abilities(&bundle) })
}

/// Imports a bundle that has not been imported yet, or has changed since, in its place.
///
/// # Errors
/// Those of [`import`].
pub(crate) fn import_if_needed(root: &Path) -> anyhow::Result<()> {
    let bundle = Bundle::open(root)?;
    let manifest = Manifest::read(root);
    let variant = manifest.as_ref().ok().and_then(|manifest| manifest.variant.clone());
    let bundle = bundle.with_variant(variant.clone());
    match manifest.and_then(|manifest| manifest.verify(&bundle)) {
        Ok(()) => Ok(()),
        Err(BundleError::NotImported { reason, .. }) => {
            tracing::info!(bundle = %root.display(), reason, "importing");
            import(root, None, variant.as_deref()).map(drop).with_context(|| {
                format!(
                    "{root} could not be imported in its place; if it can't be written, use `unclip import {root} -o DIR`",
                    root = root.display()
                )
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Writes what serving needs besides the checkpoint; the manifest last.
fn prepare(bundle: &Bundle) -> anyhow::Result<Manifest> {
    unclip_clip::export_text_tower(bundle)?;
    if bundle.has_stage(Stage::ImageEncoder) {
        unclip_clip::export_image_tower(bundle)?;
    }
    let manifest = Manifest::compute(bundle)?;
    manifest.write(bundle.root())?;
    Ok(manifest)
}

/// Lays the bundle at `to`: under another name until it is whole.
fn lay(bundle: &Bundle, to: &Path) -> anyhow::Result<Manifest> {
    let folder = NewFolder::begin(to)?;
    let _unfinished = Unfinished::folder(folder.path());
    copy::copy(bundle, folder.path())?;
    let copied = Bundle::open(folder.path())?.with_variant(bundle.variant().map(str::to_owned));
    let manifest = prepare(&copied)?;
    folder.finish()?;
    Ok(manifest)
}

fn check(bundle: &Bundle) -> anyhow::Result<Vec<String>> {
    let mut errors = bundle.missing_parts();
    if bundle.has_stage(Stage::TextEncoder) {
        errors.extend(unclip_clip::check_text_tower(bundle));
    }
    if bundle.has_stage(Stage::ImageEncoder) {
        errors.extend(unclip_clip::check_image_tower(bundle));
    }
    let report = unclip_models::check_bundle(bundle);
    errors.extend(report.errors);
    errors.extend(steps::check(bundle));
    if !errors.is_empty() {
        bail!("{} can't be imported:\n{}", bundle.root().display(), list(&errors));
    }
    let taken = notes::weights(bundle)?;
    Ok([taken, report.warnings, unclip_clip::text_tower_warnings(bundle)].concat())
}

/// The errors, a line each and each once; a file that does not fit at all would fill the screen, so only its first few are
/// named.
fn list(errors: &[BundleError]) -> String {
    const PER_FILE: usize = 3;
    let mut counts: BTreeMap<&Path, usize> = BTreeMap::new();
    let (mut lines, mut known) = (Vec::new(), HashSet::new());
    for error in errors {
        let text = error.to_string();
        if !known.insert(text.clone()) {
            continue;
        }
        let count = counts.entry(error.path()).or_default();
        *count += 1;
        // Two parts that don't fit together have no file of their own.
        if *count <= PER_FILE || error.path().as_os_str().is_empty() {
            lines.push(format!("  - {text}"));
        }
    }
    counts.retain(|path, count| *count > PER_FILE && !path.as_os_str().is_empty());
    for (path, count) in counts {
        lines.push(format!("  - {}: {} more of its tensors do not fit", path.display(), count - PER_FILE));
    }
    lines.join("\n")
}
