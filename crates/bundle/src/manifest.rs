//! `unclip.json`: what `unclip import` adds to a bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Bundle, BundleError, Component, config, fingerprint};

/// The manifest's file name in a bundle.
pub const MANIFEST_FILE: &str = "unclip.json";

/// Which CLIP model an embedding belongs to: the fingerprint of its text tower.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbeddingSpace(pub String);

/// Fingerprints of an imported bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout.
    pub version: u32,
    /// The space of the bundle's CLIP embeddings.
    pub space: EmbeddingSpace,
    /// Fingerprint per stage: `text-encoder`, `image-encoder`, `prior`, `decoder`, `upsampler`.
    pub stages: BTreeMap<String, String>,
}

impl Manifest {
    /// The layout this build reads and writes.
    pub const VERSION: u32 = 1;

    /// Computes the fingerprints of a bundle: every config, vocabulary and weights file of each stage. `sampling.json` does
    /// not count: it only fills what a request leaves open, and a receipt says with what. Cached results and embeddings of
    /// the same weights stay good when it changes.
    ///
    /// # Errors
    /// A file that can't be read.
    pub fn compute(bundle: &Bundle) -> Result<Self, BundleError> {
        let text = stage(bundle, &[Component::Tokenizer, Component::TextEncoder])?;
        let mut stages = BTreeMap::from([
            ("text-encoder".to_owned(), text.clone()),
            ("prior".to_owned(), stage(bundle, &[Component::Prior, Component::PriorScheduler])?),
            (
                "decoder".to_owned(),
                stage(bundle, &[Component::TextProj, Component::Decoder, Component::DecoderScheduler])?,
            ),
            (
                "upsampler".to_owned(),
                stage(
                    bundle,
                    &[Component::SuperResFirst, Component::SuperResLast, Component::SuperResScheduler],
                )?,
            ),
        ]);
        if bundle.has(Component::ImageEncoder) {
            let parts = [Component::FeatureExtractor, Component::ImageEncoder];
            stages.insert("image-encoder".to_owned(), stage(bundle, &parts)?);
        }
        Ok(Self { version: Self::VERSION, space: EmbeddingSpace(text), stages })
    }

    /// Reads the manifest of an imported bundle.
    ///
    /// # Errors
    /// [`BundleError::NotImported`] without a manifest or with one of another version.
    pub fn read(root: &Path) -> Result<Self, BundleError> {
        let path = root.join(MANIFEST_FILE);
        let stale =
            |reason: &str| BundleError::NotImported { path: root.to_path_buf(), reason: reason.to_owned() };
        if !path.is_file() {
            return Err(stale("the bundle has not been imported yet"));
        }
        let manifest: Self = config::read_json(&path)?;
        if manifest.version != Self::VERSION {
            return Err(stale("the bundle was imported by another version of unclip"));
        }
        Ok(manifest)
    }

    /// Writes the manifest, last of all: its presence says that the import is complete.
    ///
    /// # Errors
    /// A directory that can't be written.
    pub fn write(&self, root: &Path) -> Result<(), BundleError> {
        let path = root.join(MANIFEST_FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| BundleError::Config { path: path.clone(), reason: error.to_string() })?;
        crate::write_atomically(&path, text.as_bytes())
    }

    /// The fingerprint of a stage.
    ///
    /// # Errors
    /// [`BundleError::NotImported`] when the manifest lacks the stage.
    pub fn stage(&self, root: &Path, name: &str) -> Result<&str, BundleError> {
        self.stages.get(name).map(String::as_str).ok_or_else(|| BundleError::NotImported {
            path: root.to_path_buf(),
            reason: format!("the bundle has no {name}"),
        })
    }
}

fn stage(bundle: &Bundle, components: &[Component]) -> Result<String, BundleError> {
    let mut files = Vec::new();
    for component in components.iter().filter(|component| bundle.has(**component)) {
        files.extend(files_of(&bundle.folder(*component))?);
    }
    fingerprint(&files)
}

/// JSON, vocabulary and safetensors files, sorted. What import writes (ONNX) does not count.
fn files_of(folder: &Path) -> Result<Vec<PathBuf>, BundleError> {
    let io = |source| BundleError::Io { path: folder.to_path_buf(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let counts =
            path.extension().is_some_and(|end| end == "json" || end == "txt" || end == "safetensors");
        if counts && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
