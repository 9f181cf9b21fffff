//! The folder of one training.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::Tensor;
use unclip_bundle::{BundleSampling, Component, SAMPLING_FILE, config};

use crate::TrainError;
use crate::bundle::{Precision, write_component};
use crate::clip::scale_of;
use crate::error::{make_folder, write_json};

/// The folder of one training:
///
/// | path | content |
/// |---|---|
/// | `checkpoints/step-N/` | everything needed to go on |
/// | `metrics.jsonl` | a line every few steps |
/// | `loss.png`, `sheets/step-N.png` | pictures for people |
/// | `bundle/` | the parts it trains, averaged, in diffusers' layout |
/// | `run.json` | what it was trained with |
/// | `next/` | configs of a trainer that starts, until all is checked |
/// | `lock` | held while a trainer is at work |
#[derive(Clone, Debug)]
pub struct RunFolder {
    root: PathBuf,
}

/// `run.json`: what the parts of a bundle must agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunInfo {
    /// The trainer.
    pub stage: String,
    /// Fingerprint of the CLIP towers that it was trained with; none where it needs none.
    pub clip: Option<String>,
    /// Side of the pictures that an upsampler takes.
    #[serde(default)]
    pub takes: Option<usize>,
    /// Side of the pictures that a decoder or an upsampler draws.
    #[serde(default)]
    pub draws: Option<usize>,
}

impl RunInfo {
    /// A trainer that needs no CLIP and draws nothing.
    pub fn of(stage: &str) -> Self {
        Self { stage: stage.to_owned(), ..Self::default() }
    }
}

impl RunFolder {
    /// The folder of a run that exists.
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where checkpoints are.
    pub fn checkpoints(&self) -> PathBuf {
        self.root.join("checkpoints")
    }

    /// Where sample sheets are.
    pub fn sheets(&self) -> PathBuf {
        self.root.join("sheets")
    }

    /// The trained parts in diffusers' layout.
    pub fn bundle(&self) -> PathBuf {
        self.root.join("bundle")
    }

    /// A line every few steps.
    pub fn metrics(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// The loss over the steps.
    pub fn curve(&self) -> PathBuf {
        self.root.join("loss.png")
    }

    /// Reads `run.json`.
    ///
    /// # Errors
    /// The folder is no run's.
    pub fn info(&self) -> Result<RunInfo, TrainError> {
        Ok(config::read_json(&self.root.join("run.json"))?)
    }

    /// Where configs wait until a training may begin.
    pub(super) fn next(&self) -> PathBuf {
        self.root.join("next")
    }

    /// Writes a component's JSON file and reads it back the way the servers do, so that a network they would refuse is
    /// never trained. It is put into the bundle when the training begins.
    ///
    /// # Errors
    /// A folder that can't be written, or what the servers refuse.
    pub fn write_config<C: config::Config>(
        &self,
        component: Component,
        value: &serde_json::Value,
    ) -> Result<C, TrainError> {
        let folder = self.next().join(component.folder());
        make_folder(&folder)?;
        write_json(&folder.join(C::FILE), value)?;
        Ok(config::read(&folder)?)
    }

    /// Writes a scheduler's config, likewise.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn write_scheduler(&self, component: Component, value: &serde_json::Value) -> Result<(), TrainError> {
        let folder = self.next().join(component.folder());
        make_folder(&folder)?;
        write_json(&folder.join("scheduler_config.json"), value)
    }

    /// Copies a bundle's tokenizer, which a text tower that goes on from its weights must keep.
    ///
    /// # Errors
    /// The bundle has none, or the folder can't be written.
    pub fn take_tokenizer(&self, bundle: &Path) -> Result<(), TrainError> {
        let [from, to] =
            [bundle.to_path_buf(), self.bundle()].map(|root| root.join(Component::Tokenizer.folder()));
        make_folder(&to)?;
        for entry in std::fs::read_dir(&from).map_err(TrainError::io(&from))? {
            let entry = entry.map_err(TrainError::io(&from))?;
            std::fs::copy(entry.path(), to.join(entry.file_name())).map_err(TrainError::io(&entry.path()))?;
        }
        Ok(())
    }

    /// Writes how the trained stage samples unless a request says otherwise, likewise.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn write_sampling(&self, sampling: &BundleSampling) -> Result<(), TrainError> {
        make_folder(&self.next())?;
        write_json(&self.next().join(SAMPLING_FILE), sampling)
    }

    /// Writes the weights of every component among `parameters`, which are named `folder.parameter`; those of the first
    /// component of `also` go into the second one's folder as well. CLIP's scale goes into `sampling.json`.
    ///
    /// # Errors
    /// A folder that can't be written.
    pub fn write_weights(
        &self,
        parameters: &[(String, Tensor)],
        also: Option<(Component, Component)>,
    ) -> Result<(), TrainError> {
        for component in COMPONENTS {
            let prefix = format!("{}.", component.folder());
            let own = |(name, tensor): &(String, Tensor)| {
                Some((name.strip_prefix(&prefix)?.to_owned(), tensor.shallow_clone()))
            };
            let own: Vec<_> = parameters.iter().filter_map(own).collect();
            if own.is_empty() {
                continue;
            }
            write_component(&self.bundle(), component, &own, Precision::F32)?;
            if let Some((_, other)) = also.filter(|(from, _)| *from == component) {
                write_component(&self.bundle(), other, &own, Precision::F32)?;
            }
            if component == Component::TextEncoder {
                self.write_logit_scale(parameters)?;
            }
        }
        Ok(())
    }

    /// A text tower is trained with a scale beside it, which stands in no tower's file.
    fn write_logit_scale(&self, parameters: &[(String, Tensor)]) -> Result<(), TrainError> {
        let Some((_, log)) = parameters.iter().find(|(name, _)| name == "logit_scale") else {
            return Ok(());
        };
        let mut sampling = BundleSampling::read(&self.bundle())?;
        sampling.clip.logit_scale = Some(scale_of(log)?);
        self.write_sampling(&sampling)
    }
}

/// The components that have weights.
pub(crate) const COMPONENTS: [Component; 7] = [
    Component::TextEncoder,
    Component::ImageEncoder,
    Component::Prior,
    Component::TextProj,
    Component::Decoder,
    Component::SuperResFirst,
    Component::SuperResLast,
];
