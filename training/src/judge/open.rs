//! A trained judge.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::Tensor;
use unclip_bundle::{WeightFiles, Weights, config};
use unclip_models::{ModelError, Params, Placement, SafetensorsSource};

use super::TextShape;
use super::text::{TextTower, Words};
use crate::TrainError;
use crate::bundle::save_tensors;
use crate::error::{make_folder, write_json};
use crate::picture_tower::{PictureShape, PictureTower};
use crate::pictures::resize;
use crate::run::RunFolder;

/// Pictures or captions at once.
const BATCH: i64 = 128;

/// `judge/config.json`: what building the towers takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Shape {
    pub(super) dim: usize,
    pub(super) picture: PictureShape,
    pub(super) text: TextShape,
    pub(super) words: Vec<String>,
}

impl Shape {
    pub(super) fn path(folder: &RunFolder) -> PathBuf {
        folder.root().join("judge/config.json")
    }

    pub(super) fn read(folder: &RunFolder) -> Result<Self, TrainError> {
        Ok(config::read_json(&Self::path(folder))?)
    }

    pub(super) fn write(&self, folder: &RunFolder) -> Result<(), TrainError> {
        make_folder(&folder.root().join("judge"))?;
        write_json(&Self::path(folder), self)
    }

    pub(super) fn towers(&self, params: &Params) -> Result<Towers, ModelError> {
        Ok(Towers {
            picture: PictureTower::new(&params.sub("picture"), &self.picture, self.dim)?,
            text: TextTower::new(&params.sub("text"), &self.text, self.words.len(), self.dim)?,
        })
    }
}

/// Writes `judge/model.safetensors`.
pub(super) fn save(folder: &RunFolder, parameters: &[(String, Tensor)]) -> Result<(), TrainError> {
    save_tensors(&folder.root().join("judge/model.safetensors"), parameters)
}

/// Both towers.
pub(super) struct Towers {
    pub(super) picture: PictureTower,
    pub(super) text: TextTower,
}

/// A trained judge, without gradients.
pub struct Judge {
    towers: Towers,
    words: Words,
    side: usize,
    placement: Placement,
}

impl Judge {
    /// Opens the folder of a run of `unclip train judge`.
    ///
    /// # Errors
    /// A folder that is no such run, or weights that are missing or of another shape.
    pub fn open(run: &Path, placement: Placement) -> Result<Self, TrainError> {
        let folder = RunFolder::at(run);
        let shape = Shape::read(&folder)?;
        let weights = Weights::open(WeightFiles::find(&run.join("judge"), "model", None)?)?;
        let source = SafetensorsSource::new(&weights, placement);
        let towers = shape.towers(&Params::root(&source))?;
        Ok(Self { towers, side: shape.picture.side, words: Words::new(shape.words), placement })
    }

    /// Features of pictures `[n, 3, side, side]` in -1 to 1, of any side, as `[n, channels]`: what the projection into the
    /// space of captions is made of, f32 on the CPU.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn features(&self, pictures: &Tensor) -> Result<Tensor, TrainError> {
        self.in_parts(pictures, |part| Ok(self.towers.picture.features(&resize(part, self.side)?)))
    }

    /// Embeddings of pictures, likewise, as `[n, dim]`, not normalised.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn pictures(&self, pictures: &Tensor) -> Result<Tensor, TrainError> {
        self.in_parts(pictures, |part| {
            Ok(self.towers.picture.embed(&self.towers.picture.features(&resize(part, self.side)?)))
        })
    }

    /// Embeddings of captions as `[n, dim]`, not normalised, f32 on the CPU. Words it does not know count for nothing.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn texts(&self, captions: &[String]) -> Result<Tensor, TrainError> {
        self.in_parts(&self.words.ids(captions)?, |part| Ok(self.towers.text.forward(part)))
    }

    fn in_parts(
        &self,
        rows: &Tensor,
        work: impl Fn(&Tensor) -> Result<Tensor, TrainError>,
    ) -> Result<Tensor, TrainError> {
        let work = |part: &Tensor| {
            let result = work(&part.f_to_device(self.placement.device)?)?;
            Ok(result.f_to_device(tch::Device::Cpu)?.f_to_kind(tch::Kind::Float)?)
        };
        let parts =
            tch::no_grad(|| rows.split(BATCH, 0).iter().map(work).collect::<Result<Vec<_>, TrainError>>());
        Ok(Tensor::f_cat(&parts?, 0)?)
    }
}
