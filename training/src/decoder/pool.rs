//! Embeddings that a prior sampled, as conditions: what the decoder will be given for a caption.

use std::sync::{Arc, Mutex, PoisonError};

use tch::{Device, Kind, Tensor};

use crate::TrainError;
use crate::clip::FrozenClip;
use crate::data::Batch;
use crate::diffusion::Sampling;
use crate::prior::FrozenPrior;
use crate::random::StepRandom;
use crate::run::BatchSource;

/// Pictures whose captions' embeddings are sampled at a time.
const ROWS: usize = 512;
/// Steps until others are sampled. A row is used about four times: 250 steps of 32 rows, a quarter of them sampled.
const LASTS: u64 = 250;
/// Fewer steps than a bundle takes: what matters is where samples lie, not the last decimal.
const STEPS: u32 = 10;
/// The seed's other sequence of batches.
const OTHERS: u64 = 0x9001;

/// Pictures with the embeddings that the prior sampled for their captions.
pub(super) struct Pool {
    prior: Mutex<Drawing>,
    guidance: f32,
    seed: u64,
}

struct Drawing {
    prior: FrozenPrior,
    last: Option<(u64, Arc<Drawn>)>,
}

struct Drawn {
    batch: Batch,
    /// `[ROWS, dim]`, as CLIP gives them, f32 on the CPU.
    images: Vec<f32>,
}

/// What some rows of a batch are conditioned on instead of their pictures' own embeddings.
pub(super) struct Sampled {
    /// `[batch, dim]`, zeros where a row is not sampled.
    pub(super) images: Tensor,
    /// `[batch]`, bool.
    pub(super) rows: Tensor,
}

impl Sampled {
    /// No row is sampled.
    pub(super) fn none(rows: usize, dim: usize) -> Result<Self, TrainError> {
        Self::new(vec![0.0; rows * dim], &vec![false; rows])
    }

    fn new(images: Vec<f32>, rows: &[bool]) -> Result<Self, TrainError> {
        let images = Tensor::f_from_slice(&images)?.f_view([crate::params::to_i64(rows.len()), -1])?;
        Ok(Self { images, rows: Tensor::f_from_slice(rows)? })
    }
}

impl Pool {
    pub(super) fn new(prior: FrozenPrior, guidance: f32, seed: u64) -> Self {
        Self { prior: Mutex::new(Drawing { prior, last: None }), guidance, seed }
    }

    /// Replaces a `share` of the rows of a step's batch by pictures of the pool. A function of the seed and the step.
    pub(super) fn mix(
        &self,
        batch: &mut Batch,
        share: f32,
        (source, clip): (&dyn BatchSource, &FrozenClip),
        step: u64,
        random: &mut StepRandom,
    ) -> Result<Sampled, TrainError> {
        let drawn = self.at(step / LASTS, source, clip)?;
        let (rows, dim) = (batch.captions.len(), clip.dim());
        let (mut images, mut sampled) = (vec![0.0; rows * dim], vec![false; rows]);
        let pixels = 3 * batch.side * batch.side;
        for row in 0..rows {
            let (chosen, from) = (random.chance(share), random.below(drawn.batch.captions.len()));
            if !chosen {
                continue;
            }
            sampled[row] = true;
            batch.captions[row].clone_from(&drawn.batch.captions[from]);
            let picture = &drawn.batch.images[from * pixels..][..pixels];
            batch.images[row * pixels..][..pixels].copy_from_slice(picture);
            images[row * dim..][..dim].copy_from_slice(&drawn.images[from * dim..][..dim]);
        }
        Sampled::new(images, &sampled)
    }

    fn at(&self, place: u64, source: &dyn BatchSource, clip: &FrozenClip) -> Result<Arc<Drawn>, TrainError> {
        let mut drawing = self.prior.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, drawn)) = &drawing.last
            && *known == place
        {
            return Ok(drawn.clone());
        }
        let batch = source.batch(self.seed ^ OTHERS, place, ROWS);
        let sampling = Sampling { count: ROWS, steps: STEPS, guidance: self.guidance };
        let images = drawing.prior.sample(clip, &batch.captions, sampling, self.seed ^ OTHERS ^ place)?;
        let images = images.f_to_device(Device::Cpu)?.f_to_kind(Kind::Float)?.f_reshape(-1)?;
        let drawn = Arc::new(Drawn { batch, images: Vec::<f32>::try_from(&images)? });
        drawing.last = Some((place, drawn.clone()));
        Ok(drawn)
    }
}
