//! Checkpoints: everything an exact continuation needs.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};
use unclip_bundle::config::read_json;

use crate::TrainError;
use crate::bundle::save_tensors;
use crate::error::{make_folder, write_json};
use crate::params::{Layout, ParamStore};

/// How many checkpoints are kept.
const KEPT: usize = 2;

/// `state.json` of a checkpoint. Random numbers are functions of the seed and the step, so that these two are the position
/// of every generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of this layout.
    pub version: u32,
    /// Steps taken.
    pub step: u64,
    /// The seed of batches and noise.
    pub seed: u64,
    /// Pictures seen.
    pub images: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// The parameters: name and shape, in their order in the buffers.
    pub parameters: Vec<(String, Vec<i64>)>,
}

const VERSION: u32 = 1;

impl Checkpoint {
    /// What a store's checkpoint says besides its tensors.
    pub fn new(store: &ParamStore, seed: u64, images: u64, seconds: f64) -> Self {
        let parameters = parameters(store.layout());
        Self { version: VERSION, step: store.steps(), seed, images, seconds, parameters }
    }

    /// Writes `folder/step-N/` and removes all but the last two. A checkpoint appears whole or not at all.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn write(&self, folder: &Path, store: &ParamStore) -> Result<(), TrainError> {
        let partial = folder.join("partial");
        if partial.exists() {
            std::fs::remove_dir_all(&partial).map_err(TrainError::io(&partial))?;
        }
        make_folder(&partial)?;
        let buffers: Vec<_> = store
            .buffers()
            .into_iter()
            .map(|(name, tensor)| (name.to_owned(), tensor.shallow_clone()))
            .collect();
        save_tensors(&partial.join("state.safetensors"), &buffers)?;
        write_json(&partial.join("state.json"), self)?;
        let target = folder.join(format!("step-{:08}", self.step));
        if target.exists() {
            std::fs::remove_dir_all(&target).map_err(TrainError::io(&target))?;
        }
        std::fs::rename(&partial, &target).map_err(TrainError::io(&target))?;
        let all = list(folder)?;
        for old in all.iter().rev().skip(KEPT) {
            std::fs::remove_dir_all(old).map_err(TrainError::io(old))?;
        }
        Ok(())
    }

    /// Reads a checkpoint into a store of the same layout.
    ///
    /// # Errors
    /// [`TrainError::Checkpoint`] for a damaged one, or one of other networks or another seed.
    pub fn read(path: &Path, seed: u64, store: &mut ParamStore) -> Result<Self, TrainError> {
        let refuse = |reason: String| TrainError::Checkpoint { path: path.to_path_buf(), reason };
        let state: Self = read_json(&path.join("state.json"))?;
        if state.version != VERSION {
            return Err(refuse(format!("version {}, this build reads {VERSION}; start anew", state.version)));
        }
        if state.seed != seed {
            let reason =
                format!("its seed is {}, the configuration's is {seed}; make them equal", state.seed);
            return Err(refuse(reason));
        }
        if let Some(reason) = difference(&state.parameters, &parameters(store.layout())) {
            return Err(refuse(reason));
        }
        let file = path.join("state.safetensors");
        let bytes = std::fs::read(&file).map_err(TrainError::io(&file))?;
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| refuse(error.to_string()))?;
        store.restore(state.step, |name| {
            let view = tensors.tensor(name).map_err(|error| refuse(error.to_string()))?;
            let len = i64::try_from(view.data().len() / 4).unwrap_or_default();
            Ok(Tensor::f_from_data_size(view.data(), &[len], Kind::Float)?.f_to_device(Device::Cpu)?)
        })?;
        Ok(state)
    }
}

fn parameters(layout: &Layout) -> Vec<(String, Vec<i64>)> {
    layout.entries.iter().map(|entry| (entry.name.clone(), entry.shape.clone())).collect()
}

/// The first parameter in which two networks differ.
fn difference(found: &[(String, Vec<i64>)], expected: &[(String, Vec<i64>)]) -> Option<String> {
    let advice = "the configuration's networks have changed: give the old ones back, or start a new run";
    if let Some((one, two)) = found.iter().zip(expected).find(|(one, two)| one != two) {
        return Some(format!(
            "it holds {} {:?} where {} {:?} is expected; {advice}",
            one.0, one.1, two.0, two.1
        ));
    }
    (found.len() != expected.len())
        .then(|| format!("it holds {} parameters, {} are expected; {advice}", found.len(), expected.len()))
}

/// The newest checkpoint in a folder, if there is one.
///
/// # Errors
/// A folder that can't be read.
pub fn latest(folder: &Path) -> Result<Option<PathBuf>, TrainError> {
    Ok(list(folder)?.pop())
}

/// The checkpoints in a folder, oldest first.
fn list(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    let mut all = Vec::new();
    if !folder.exists() {
        return Ok(all);
    }
    for entry in std::fs::read_dir(folder).map_err(TrainError::io(folder))? {
        let path = entry.map_err(TrainError::io(folder))?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("step-")) {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}
