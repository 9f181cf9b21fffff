//! `unclip.json`: what `unclip import` adds to a bundle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};

use crate::fingerprint::{digest, fingerprint};
use crate::{Bundle, BundleError, Stage, config, files};

/// The manifest's file name in a bundle.
pub const MANIFEST_FILE: &str = "unclip.json";

/// Which CLIP model an embedding belongs to: the fingerprint of its text tower.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EmbeddingSpace(pub String);

/// What an import found good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this file's layout.
    pub version: u32,
    /// The space of the bundle's CLIP embeddings.
    pub space: EmbeddingSpace,
    /// The variant of the weights that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// By the stages' names: `text-encoder`, `image-encoder`, `prior`, `decoder`, `upsampler`.
    pub stages: BTreeMap<String, StageRecord>,
}

/// What a stage is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The hash of every config, vocabulary and weights file.
    pub fingerprint: String,
    /// Those files.
    pub files: Vec<FileRecord>,
}

/// How a file is known again without reading all of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRecord {
    /// Its path in the bundle.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub modified: u64,
    /// A hash of its header and of places spread over it, or, unless it holds weights, of all of it.
    pub digest: String,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

impl Manifest {
    /// The layout this build reads and writes.
    pub const VERSION: u32 = 2;

    /// Computes the fingerprints of a bundle's stages: every config, vocabulary and weights file of each. `sampling.json`
    /// does not count: it only fills what a request leaves open, and a receipt says with what. Cached results and embeddings
    /// of the same weights stay good when it changes.
    ///
    /// # Errors
    /// A bundle without a text encoder, or a file that can't be read.
    pub fn compute(bundle: &Bundle) -> Result<Self, BundleError> {
        bundle.require(Stage::TextEncoder)?;
        let mut stages = BTreeMap::new();
        for stage in Stage::ALL.into_iter().filter(|stage| bundle.has_stage(*stage)) {
            stages.insert(stage.name().to_owned(), StageRecord::compute(bundle, stage)?);
        }
        let space = stages.get(Stage::TextEncoder.name()).map(|text| text.fingerprint.clone());
        let space = EmbeddingSpace(space.unwrap_or_default());
        Ok(Self { version: Self::VERSION, space, variant: bundle.variant().map(str::to_owned), stages })
    }

    /// Reads the manifest of an imported bundle.
    ///
    /// # Errors
    /// [`BundleError::NotImported`] without a manifest, or with one that is damaged or of another version.
    pub fn read(root: &Path) -> Result<Self, BundleError> {
        let path = root.join(MANIFEST_FILE);
        let stale = |reason: String| BundleError::NotImported { path: root.to_path_buf(), reason };
        let damaged = |error: BundleError| match error {
            BundleError::Missing { .. } => stale("the bundle has not been imported yet".to_owned()),
            BundleError::Config { reason, .. } => stale(format!("{MANIFEST_FILE} is damaged ({reason})")),
            error => error,
        };
        let found: Version = config::read_json(&path).map_err(damaged)?;
        if found.version != Self::VERSION {
            return Err(stale("the bundle was imported by another version of unclip".to_owned()));
        }
        config::read_json(&path).map_err(damaged)
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

    /// The fingerprint of a stage whose files are still those that were imported. That costs some pages of each file; where
    /// only the time of weights is another, as after a copy, all of the stage's files are read to be sure.
    ///
    /// # Errors
    /// [`BundleError::NoStage`] where the bundle lacks it, and [`BundleError::NotImported`] where it was added or changed
    /// since.
    pub fn verified(&self, bundle: &Bundle, stage: Stage) -> Result<&str, BundleError> {
        bundle.require(stage)?;
        let changed = |reason: String| BundleError::NotImported { path: bundle.root().to_path_buf(), reason };
        let record = self.stages.get(stage.name()).ok_or_else(|| {
            changed(format!("its {} was not there when the bundle was imported", stage.name()))
        })?;
        match record.change(bundle, stage)? {
            None => Ok(&record.fingerprint),
            Some(change) => Err(changed(format!("{change} since the bundle was imported"))),
        }
    }

    /// Whether every stage of the bundle is still what was imported.
    ///
    /// # Errors
    /// Those of [`Self::verified`].
    pub fn verify(&self, bundle: &Bundle) -> Result<(), BundleError> {
        let mut stages = Stage::ALL.into_iter().filter(|stage| bundle.has_stage(*stage));
        stages.try_for_each(|stage| self.verified(bundle, stage).map(drop))
    }
}

impl StageRecord {
    fn compute(bundle: &Bundle, stage: Stage) -> Result<Self, BundleError> {
        let paths = stage_files(bundle, stage)?;
        let files = paths.iter().map(|path| FileRecord::compute(bundle, path)).collect::<Result<_, _>>()?;
        Ok(Self { fingerprint: fingerprint(&paths)?, files })
    }

    /// What is another than it was, in words.
    fn change(&self, bundle: &Bundle, stage: Stage) -> Result<Option<String>, BundleError> {
        let paths = stage_files(bundle, stage)?;
        let names: Vec<_> = paths.iter().map(|path| relative(bundle, path)).collect();
        if let Some(new) = names.iter().find(|name| self.files.iter().all(|file| &file.path != *name)) {
            return Ok(Some(format!("{new} has come")));
        }
        if let Some(gone) = self.files.iter().find(|file| !names.contains(&file.path)) {
            return Ok(Some(format!("{} has gone", gone.path)));
        }
        let mut touched = None;
        for (path, name) in paths.iter().zip(&names) {
            let now = FileRecord::compute(bundle, path)?;
            let Some(then) = self.files.iter().find(|file| &file.path == name) else { continue };
            if (now.bytes, &now.digest) != (then.bytes, &then.digest) {
                return Ok(Some(format!("{name} has changed")));
            }
            if now.modified != then.modified && name.ends_with(".safetensors") {
                touched = Some(name);
            }
        }
        match touched {
            Some(name) if fingerprint(&paths)? != self.fingerprint => Ok(Some(format!("{name} has changed"))),
            _ => Ok(None),
        }
    }
}

impl FileRecord {
    fn compute(bundle: &Bundle, path: &Path) -> Result<Self, BundleError> {
        let (_, metadata) = files::open_file(path, "complete the download of the checkpoint")?;
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|time| u64::try_from(time.as_nanos()).ok()).unwrap_or_default();
        Ok(Self { path: relative(bundle, path), bytes: metadata.len(), modified, digest: digest(path)? })
    }
}

fn relative(bundle: &Bundle, path: &Path) -> String {
    path.strip_prefix(bundle.root()).unwrap_or(path).to_string_lossy().into_owned()
}

/// The files that decide a stage's results, by part and then by name.
fn stage_files(bundle: &Bundle, stage: Stage) -> Result<Vec<PathBuf>, BundleError> {
    let mut files = Vec::new();
    for component in stage.components() {
        files.extend(bundle.files(*component)?);
    }
    Ok(files)
}
