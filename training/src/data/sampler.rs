//! Batches of pictures and captions, a pure function of the seed and the place in the sequence.

use std::collections::HashSet;
use std::sync::Arc;

use super::Colour;
use super::DataError;
use super::caption::caption;
use super::draws::Draws;
use super::options::{Augment, Selection, Tints};
use super::scene::Scene;
use super::select::Selected;
use super::split::HeldOutTints;
use super::store::{ItemRef, Store};

/// Draws for a concept that the batch does not have yet, before one is taken twice.
const TRIES: usize = 64;

/// Pictures and their captions.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `[len, 3, side, side]` in -1..=1.
    pub images: Vec<f32>,
    /// Side of the pictures, in pixels.
    pub side: usize,
    /// One per picture.
    pub captions: Vec<String>,
    /// The item of the store that each picture shows.
    pub items: Vec<usize>,
    /// How each is shown.
    pub scenes: Vec<Scene>,
}

impl Batch {
    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn reset(&mut self, count: usize, side: usize) {
        self.images.resize(count * 3 * side * side, 0.0);
        self.side = side;
        self.captions.clear();
        self.items.clear();
        self.scenes.clear();
    }
}

/// Draws from a store. The same (seed, step, size) gives the same batch on every thread and machine. To prefetch, give
/// clones to threads, each with steps of its own.
#[derive(Debug, Clone)]
pub struct Sampler {
    store: Arc<Store>,
    augment: Augment,
    selected: Arc<Selected>,
    tints: Arc<HeldOutTints>,
}

impl Sampler {
    /// A sampler over the selected items.
    ///
    /// # Errors
    /// [`DataError::Nothing`] if no picture is selected, [`DataError::Options`] if a name is unknown or a number is out of
    /// range.
    pub fn new(store: Arc<Store>, selection: &Selection, augment: Augment) -> Result<Self, DataError> {
        augment.check()?;
        Ok(Self {
            selected: Arc::new(Selected::new(&store, selection, &augment)?),
            tints: Arc::new(HeldOutTints::new(store.concepts())),
            store,
            augment,
        })
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Side of the pictures that come out, in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        if self.augment.side == 0 { self.store.side() } else { self.augment.side }
    }

    /// The same items as they are.
    #[must_use]
    pub fn without_variation(&self) -> Self {
        Self { augment: Augment::none(self.side()), ..self.clone() }
    }

    /// The items it draws from, as indices into the store.
    #[must_use]
    pub fn items(&self) -> &[usize] {
        &self.selected.items
    }

    /// Batch number `step` of the sequence `seed`: its draws `step * size .. (step + 1) * size`.
    #[must_use]
    pub fn batch(&self, seed: u64, step: u64, size: usize) -> Batch {
        let mut batch = Batch::default();
        self.batch_into(seed, step, size, &mut batch);
        batch
    }

    /// [`Sampler::batch`] into memory that is used again.
    pub fn batch_into(&self, seed: u64, step: u64, size: usize, batch: &mut Batch) {
        batch.reset(size, self.side());
        let mut concepts = HashSet::new();
        for place in 0..size {
            let mut draws = Self::draws(seed, step, size, place);
            let item = self.pick(&mut concepts, &mut draws);
            self.add(item, place, batch, &mut draws);
        }
    }

    /// The captions of [`Sampler::batch`], without painting its pictures.
    #[must_use]
    pub fn captions(&self, seed: u64, step: u64, size: usize) -> Vec<String> {
        let mut concepts = HashSet::new();
        let one = |place: usize| {
            let mut draws = Self::draws(seed, step, size, place);
            let item = self.pick(&mut concepts, &mut draws);
            self.describe(item, &mut draws).map(|(_, caption)| caption)
        };
        (0..size).filter_map(one).collect()
    }

    /// The given items of the store, of either split, the n-th varied by draw n of `seed`. With [`Augment::none`] they
    /// come as they are, for evaluation. Indices past the store's end come as its last item.
    #[must_use]
    pub fn batch_of(&self, seed: u64, items: &[usize]) -> Batch {
        let mut batch = Batch::default();
        batch.reset(items.len(), self.side());
        for (place, item) in items.iter().enumerate() {
            let item = (*item).min(self.store.len().saturating_sub(1));
            self.add(item, place, &mut batch, &mut Draws::new(seed, place as u64));
        }
        batch
    }

    /// An item by weight; if wanted, of a concept that is not in the batch yet.
    fn pick(&self, concepts: &mut HashSet<usize>, draws: &mut Draws) -> usize {
        let mut item = self.selected.at(draws.unit_f64());
        if self.augment.distinct_concepts {
            for _ in 0..TRIES {
                if self.store.item(item).is_none_or(|item| concepts.insert(item.concept_id)) {
                    break;
                }
                item = self.selected.at(draws.unit_f64());
            }
        }
        item
    }

    fn draws(seed: u64, step: u64, size: usize, place: usize) -> Draws {
        Draws::new(seed, step.wrapping_mul(size as u64).wrapping_add(place as u64))
    }

    /// How an item is shown, and the caption of that.
    fn describe(&self, index: usize, draws: &mut Draws) -> Option<(Scene, String)> {
        let item = self.store.item(index)?;
        let may_tint = |colour| self.may_tint(item, colour);
        let scene = Scene::draw(item, &self.augment, self.side(), may_tint, draws);
        let caption = caption(item, &scene, &self.augment, draws);
        Some((scene, caption))
    }

    fn add(&self, index: usize, place: usize, batch: &mut Batch, draws: &mut Draws) {
        let side = self.side();
        let Some(item) = self.store.item(index) else { return };
        let Some((scene, caption)) = self.describe(index, draws) else { return };
        batch.captions.push(caption);
        let pixels = 3 * side * side;
        if let Some(image) = batch.images.get_mut(place * pixels..(place + 1) * pixels) {
            scene.paint(item, side, image);
        }
        batch.items.push(index);
        batch.scenes.push(scene);
    }

    fn may_tint(&self, item: ItemRef<'_>, colour: Colour) -> bool {
        let held_out = self.tints.contains(colour, item.concept_id);
        held_out == (self.augment.tints == Tints::HeldOut)
    }
}
