//! A checkpoint to import: a copy of a fixture that may be broken, or laid out as a model hub's client does.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hasher as _};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::Value;
use tempfile::TempDir;

use crate::{Run, copy_folder, fixture, run_in, scratch};

/// A copy of the fixture `tiny`, removed when it is dropped.
pub struct Checkpoint(TempDir);

impl Default for Checkpoint {
    fn default() -> Self {
        Self::new()
    }
}

impl Checkpoint {
    /// The fixture as it is.
    pub fn new() -> Self {
        let folder = scratch();
        copy_folder(&fixture("tiny"), folder.path());
        Self(folder)
    }

    /// Where it lies.
    pub fn root(&self) -> &Path {
        self.0.path()
    }

    /// A file or folder of it.
    pub fn path(&self, part: &str) -> PathBuf {
        self.root().join(part)
    }

    /// Removes a file, or a folder with all that is in it.
    pub fn remove(&self, part: &str) {
        let path = self.path(part);
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.unwrap();
    }

    /// Renames a file.
    pub fn rename(&self, part: &str, name: &str) {
        let path = self.path(part);
        std::fs::rename(&path, path.with_file_name(name)).unwrap();
    }

    /// Replaces a text that must be there.
    pub fn edit(&self, part: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.path(part)).unwrap();
        assert!(text.contains(from), "{part} has no {from}");
        std::fs::write(self.path(part), text.replace(from, to)).unwrap();
    }

    /// Sets a key of a JSON file; none removes it.
    pub fn set(&self, part: &str, key: &str, value: Option<Value>) {
        let text = std::fs::read_to_string(self.path(part)).unwrap();
        let mut json: Value = serde_json::from_str(&text).unwrap();
        let map = json.as_object_mut().unwrap();
        match value {
            Some(value) => map.insert(key.to_owned(), value),
            None => map.remove(key),
        };
        std::fs::write(self.path(part), json.to_string()).unwrap();
    }

    /// Rewrites a file of weights with other shapes, without the tensors whose shape is gone.
    pub fn reshape(&self, part: &str, change: impl Fn(&str, &[usize]) -> Option<Vec<usize>>) {
        let bytes = std::fs::read(self.path(part)).unwrap();
        let weights = SafeTensors::deserialize(&bytes).unwrap();
        let views: BTreeMap<String, TensorView<'_>> = weights
            .tensors()
            .into_iter()
            .filter_map(|(name, view)| {
                let shape = change(&name, view.shape())?;
                let view = TensorView::new(view.dtype(), shape, view.data()).unwrap();
                Some((name, view))
            })
            .collect();
        let bytes = safetensors::serialize(views, None).unwrap();
        std::fs::write(self.path(part), bytes).unwrap();
    }

    /// Sets one value of an f32 tensor.
    pub fn poke(&self, part: &str, tensor: &str, index: usize, value: f32) {
        let mut bytes = std::fs::read(self.path(part)).unwrap();
        let (header, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let at = 8 + header + metadata.info(tensor).unwrap().data_offsets.0 + 4 * index;
        bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
        std::fs::write(self.path(part), bytes).unwrap();
    }

    /// Makes it an image variation checkpoint: that pipeline has no prior.
    pub fn without_prior(self) -> Self {
        self.edit("model_index.json", "UnCLIPPipeline", "UnCLIPImageVariationPipeline");
        for part in ["prior", "prior_scheduler"] {
            self.remove(part);
            self.set("model_index.json", part, None);
        }
        self
    }

    /// Gives all weights names of a variant, as `model.fp16.safetensors`.
    pub fn in_variant(self, variant: &str) -> Self {
        for part in self.root().read_dir().unwrap() {
            let part = part.unwrap().path();
            for stem in ["model", "diffusion_pytorch_model"] {
                let plain = part.join(format!("{stem}.safetensors"));
                if plain.exists() {
                    std::fs::rename(&plain, part.join(format!("{stem}.{variant}.safetensors"))).unwrap();
                }
            }
        }
        self
    }

    /// Imports it in its place.
    pub fn import(&self) -> Run {
        self.import_with(&[])
    }

    /// Imports it with more arguments.
    pub fn import_with(&self, arguments: &[&str]) -> Run {
        run_in(self.root(), "unclip", &[&["import", self.root().to_str().unwrap()], arguments].concat())
    }
}

/// Lays a checkpoint out at `cache` as a model hub's client keeps it: files named by their hashes in `blobs`, and a
/// snapshot of relative symbolic links. Returns the snapshot.
pub fn hub_cache(checkpoint: &Path, cache: &Path) -> PathBuf {
    let repository = cache.join("models--kakaobrain--karlo-v1-alpha");
    let snapshot = repository.join("snapshots/0123abcd");
    std::fs::create_dir_all(repository.join("blobs")).unwrap();
    link_folder(checkpoint, &snapshot, &repository.join("blobs"), "../../blobs");
    snapshot
}

fn link_folder(from: &Path, to: &Path, blobs: &Path, way: &str) {
    std::fs::create_dir_all(to).unwrap();
    for entry in from.read_dir().unwrap() {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
        if path.is_dir() {
            link_folder(&path, &to.join(name), blobs, &format!("../{way}"));
            continue;
        }
        let mut hasher = DefaultHasher::new();
        hasher.write(&std::fs::read(&path).unwrap());
        let blob = format!("{:016x}", hasher.finish());
        std::fs::copy(&path, blobs.join(&blob)).unwrap();
        symlink(format!("{way}/{blob}"), to.join(name)).unwrap();
    }
}
