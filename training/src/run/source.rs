//! Where batches come from.

use std::sync::Arc;

use super::DataConfig;
use crate::TrainError;
use crate::data::{Augment, Batch, Sampler, Split, Store};

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

    fn plain(&self, limit: usize) -> Batch {
        let items = self.items();
        let step = items.len().div_ceil(limit.max(1)).max(1);
        let chosen: Vec<usize> = items.iter().step_by(step).copied().collect();
        self.batch_of(0, &chosen)
    }
}

/// Training pictures, then held-out ones.
pub type Sources = (Arc<dyn BatchSource>, Arc<dyn BatchSource>);

/// Opens a data set: the training items with the configured variation, and the held-out items without any, both with
/// pictures of `side` pixels.
///
/// # Errors
/// A store that is missing or damaged, or a selection that leaves nothing.
pub fn open(config: &DataConfig, side: usize) -> Result<Sources, TrainError> {
    let store = Arc::new(Store::open(&config.store)?);
    let select = |split| crate::data::Selection { split, ..config.selection.clone() };
    let augment = Augment { side, ..config.augment.clone() };
    let train = Sampler::new(store.clone(), &select(Split::Train), augment)?;
    let held_out = Sampler::new(store, &select(Split::HeldOut), Augment::none(side))?;
    Ok((Arc::new(train), Arc::new(held_out)))
}
