//! Pictures of a store with their captions, as an evaluation wants them.

use tch::Tensor;

use crate::TrainError;
use crate::data::Sampler;
use crate::pictures::picture_tensor;

/// Items as they are: on white, captioned with label and style.
pub struct PictureSet {
    /// Indices into the store.
    pub items: Vec<usize>,
    /// One per item.
    pub captions: Vec<String>,
    /// The concept of each.
    pub concepts: Vec<usize>,
    /// `[n, 3, side, side]` in -1 to 1.
    pub pictures: Tensor,
}

impl PictureSet {
    /// Up to `limit` of a sampler's items, spread over all of them. The sampler should vary nothing, see
    /// [`crate::data::Augment::none`].
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn new(sampler: &Sampler, limit: usize) -> Result<Self, TrainError> {
        let all = sampler.items();
        let step = all.len().div_ceil(limit.max(1)).max(1);
        Self::of(sampler, &all.iter().copied().step_by(step).collect::<Vec<_>>())
    }

    /// These items of the sampler's store.
    ///
    /// # Errors
    /// libtorch refuses an operation.
    pub fn of(sampler: &Sampler, items: &[usize]) -> Result<Self, TrainError> {
        let batch = sampler.batch_of(0, items);
        let concept = |item: &usize| sampler.store().item(*item).map_or(usize::MAX, |item| item.concept_id);
        Ok(Self {
            pictures: picture_tensor(&batch)?,
            concepts: batch.items.iter().map(concept).collect(),
            items: batch.items,
            captions: batch.captions,
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}
