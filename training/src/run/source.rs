//! Where batches come from.

use std::sync::Arc;

use super::DataConfig;
use crate::TrainError;
use crate::data::{Augment, Batch, DataError, Sampler, Split, Store};

/// Pictures and captions. Everything is a function of the arguments, so that a resumed run sees the same batches.
pub trait BatchSource: Send + Sync {
    /// Side of the pictures in pixels.
    fn side(&self) -> usize;

    /// Items it draws from.
    fn len(&self) -> usize;

    /// Whether there is nothing to draw.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batch number `step` of the sequence `seed`.
    fn batch(&self, seed: u64, step: u64, size: usize) -> Batch;

    /// The captions of [`BatchSource::batch`], which take a fraction of its time where no picture is painted.
    fn captions(&self, seed: u64, step: u64, size: usize) -> Vec<String> {
        self.batch(seed, step, size).captions
    }

    /// Up to `limit` of the items, spread over all of them, each once and as it is.
    fn plain(&self, limit: usize) -> Batch;
}

impl BatchSource for Sampler {
    fn side(&self) -> usize {
        self.side()
    }

    fn len(&self) -> usize {
        self.items().len()
    }

    fn batch(&self, seed: u64, step: u64, size: usize) -> Batch {
        self.batch(seed, step, size)
    }

    fn captions(&self, seed: u64, step: u64, size: usize) -> Vec<String> {
        self.captions(seed, step, size)
    }

    fn plain(&self, limit: usize) -> Batch {
        let items = self.items();
        let step = items.len().div_ceil(limit.max(1)).max(1);
        let chosen: Vec<usize> = items.iter().step_by(step).copied().collect();
        self.without_variation().batch_of(0, &chosen)
    }
}

/// A source of nothing.
struct NoPictures {
    side: usize,
}

impl BatchSource for NoPictures {
    fn side(&self) -> usize {
        self.side
    }

    fn len(&self) -> usize {
        0
    }

    fn batch(&self, _seed: u64, _step: u64, _size: usize) -> Batch {
        Batch { side: self.side, ..Batch::default() }
    }

    fn plain(&self, _limit: usize) -> Batch {
        Batch { side: self.side, ..Batch::default() }
    }
}

/// Training pictures, then held-out ones.
pub type Sources = (Arc<dyn BatchSource>, Arc<dyn BatchSource>);

/// Opens a data set: the training items with the configured variation, and the held-out items without any, both with
/// pictures of `side` pixels.
///
/// # Errors
/// A store that is missing or damaged, one of smaller pictures (enlarged ones teach blur), or a selection that leaves
/// nothing to train on.
pub fn open(config: &DataConfig, side: usize) -> Result<Sources, TrainError> {
    let store = Arc::new(Store::open(&config.store)?);
    if store.side() < side {
        let (path, own) = (store.path().display(), store.side());
        let reason = format!(
            "{path}: its pictures have {own} px, {side} px are asked for; build it with --side {side} or more"
        );
        return Err(DataError::Options(reason).into());
    }
    let select = |split| crate::data::Selection { split, ..config.selection.clone() };
    let augment = Augment { side, ..config.augment.clone() };
    let train = Sampler::new(store.clone(), &select(Split::Train), augment)?;
    let held_out: Arc<dyn BatchSource> =
        match Sampler::new(store, &select(Split::HeldOut), Augment::none(side)) {
            Ok(sampler) => Arc::new(sampler),
            // Of a few pictures none may be held out: then there is nothing to evaluate on, but enough to train.
            Err(DataError::Nothing { .. }) => Arc::new(NoPictures { side }),
            Err(error) => return Err(error.into()),
        };
    Ok((Arc::new(train), held_out))
}
