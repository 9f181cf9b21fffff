//! A trained prior, as the decoder's trainer uses it.

use std::path::Path;

use tch::Tensor;
use unclip_bundle::config::PriorConfig;
use unclip_bundle::{Bundle, Component};
use unclip_models::networks::PriorTransformer;
use unclip_models::{Params, Placement, SafetensorsSource};

use super::PriorNetwork;
use crate::TrainError;
use crate::clip::FrozenClip;
use crate::diffusion::Sampling;
use crate::params::to_i64;
use crate::run::RunFolder;

/// A prior that is not trained any more.
pub struct FrozenPrior(PriorNetwork);

impl FrozenPrior {
    /// Opens the averaged prior of a run of `unclip train prior`.
    ///
    /// # Errors
    /// A folder that is no such run, or a prior of another CLIP.
    pub fn open(run: &Path, clip: &FrozenClip, placement: Placement) -> Result<Self, TrainError> {
        let folder = RunFolder::at(run);
        let info = folder.info()?;
        if info.stage != "prior" || info.clip.as_deref() != Some(clip.fingerprint()) {
            let reason = "this is no training of a prior on the CLIP that is given".to_owned();
            return Err(TrainError::Export { path: run.to_path_buf(), reason });
        }
        let bundle = Bundle::open(&folder.bundle())?;
        let config: PriorConfig = bundle.config(Component::Prior)?;
        let weights = bundle.weights(Component::Prior)?;
        let source = SafetensorsSource::new(&weights, placement).unsteady();
        Ok(Self(PriorNetwork {
            prior: PriorTransformer::new(&Params::root(&source), &config)?,
            clip: clip.towers(placement)?,
            tokens: to_i64(config.num_embeddings),
            kind: placement.kind,
        }))
    }

    /// Image embeddings `[captions, dim]` of captions, as CLIP gives them, f32.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn sample(
        &self,
        clip: &FrozenClip,
        captions: &[String],
        sampling: Sampling,
        seed: u64,
    ) -> Result<Tensor, TrainError> {
        tch::no_grad(|| self.0.sample(clip, captions, sampling, seed))
    }
}
