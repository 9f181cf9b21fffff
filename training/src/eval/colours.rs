//! Whether a picture has the colour that was asked for, by its pixels alone.

use std::collections::BTreeSet;

use crate::data::split::HeldOutTints;
use crate::data::{Colour, Place, Sampler, Scene};
use crate::random::{Purpose, StepRandom};

/// The part of an object that has a colour for certain if no other rule says so.
const ENOUGH: f64 = 1.0 / 3.0;

/// Pixels of an object by colour word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ColourCounts([usize; Colour::ALL.len()]);

impl ColourCounts {
    /// Of a picture `[3, side, side]` in -1 to 1 on white: every pixel that is not the background's.
    pub fn on_white(picture: &[f32]) -> Self {
        let plane = picture.len() / 3;
        let mut counts = Self::default();
        for at in 0..plane {
            let pixel = [0, 1, 2].map(|channel| byte(picture[channel * plane + at]));
            if !Colour::White.is_near(pixel) {
                counts.0[Colour::of_pixel(pixel) as usize] += 1;
            }
        }
        counts
    }

    /// Whether the object is of this colour: it is the most frequent one, or has a third of the pixels. Black pixels are
    /// outlines, and count only where black is asked for.
    pub fn is(&self, asked: Colour) -> bool {
        let counted = |colour: &Colour| *colour == asked || *colour != Colour::Black;
        let counts = || Colour::ALL.into_iter().filter(counted).map(|colour| self.0[colour as usize]);
        let (own, total) = (self.0[asked as usize], counts().sum::<usize>());
        #[expect(clippy::cast_precision_loss, reason = "pixels of a picture are few")]
        let enough = own as f64 >= ENOUGH * total as f64;
        own > 0 && (enough || counts().all(|other| other <= own))
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to a byte")]
fn byte(value: f32) -> u8 {
    value.mul_add(127.5, 127.5).round().clamp(0.0, 255.0) as u8
}

/// "a `colour` `thing`".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColourTask {
    /// What is asked for.
    pub colour: Colour,
    /// What it should be the colour of, a label without colour words.
    pub thing: String,
    /// An item of the store that shows it.
    pub item: usize,
    /// Whether training never sees the pair.
    pub held_out: bool,
}

impl ColourTask {
    /// The prompt.
    pub fn prompt(&self) -> String {
        let word = self.colour.word();
        let article = if word.starts_with('o') { "an" } else { "a" };
        format!("{article} {word} {}", self.thing)
    }

    /// The real thing, `[3, side, side]` in -1 to 1 on white, tinted or as it is.
    pub fn real(&self, sampler: &Sampler, tinted: bool) -> Vec<f32> {
        let side = sampler.side();
        let scene =
            Scene { tint: tinted.then_some(self.colour), background: Colour::White, place: Place::all(side) };
        sampler.store().item(self.item).map(|item| scene.picture(item, side)).unwrap_or_default()
    }
}

/// So many pairs that training may see, then so many that it never does, drawn by `seed` among the sampler's things that can
/// be tinted and have no colour in their name. White is left out: it does not show on white.
pub fn colour_tasks(sampler: &Sampler, seed: u64, seen: usize, held_out: usize) -> Vec<ColourTask> {
    let store = sampler.store();
    let tints = HeldOutTints::new(store.concepts());
    let mut known = BTreeSet::new();
    let mut all = Vec::new();
    for item in sampler.items().iter().filter_map(|index| store.item(*index)) {
        let Some(thing) = tints.thing(item.concept_id) else { continue };
        if !Scene::can_tint(item) || thing != item.concept.label || !known.insert(item.concept_id) {
            continue;
        }
        all.extend(Colour::ALL.into_iter().filter(|colour| *colour != Colour::White).map(|colour| {
            ColourTask {
                colour,
                thing: thing.to_owned(),
                item: item.index,
                held_out: tints.contains(colour, item.concept_id),
            }
        }));
    }
    shuffle(&mut all, seed);
    let of =
        |out: bool, count: usize| all.iter().filter(move |task| task.held_out == out).take(count).cloned();
    of(false, seen).chain(of(true, held_out)).collect()
}

fn shuffle<T>(all: &mut [T], seed: u64) {
    let mut random = StepRandom::new(seed, 0, Purpose::Samples);
    for place in (1..all.len()).rev() {
        all.swap(place, random.below(place + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pixels: &[[u8; 3]]) -> ColourCounts {
        let channel =
            |channel: usize| pixels.iter().map(move |pixel| f32::from(pixel[channel]) / 127.5 - 1.0);
        ColourCounts::on_white(&(0..3).flat_map(channel).collect::<Vec<_>>())
    }

    #[test]
    fn outlines_and_background_do_not_count() {
        let [red, blue, black] = [Colour::Red, Colour::Blue, Colour::Black].map(Colour::rgb);
        let found = counts(&[red, red, blue, black, black, black, [255; 3], [254; 3]]);
        assert!(found.is(Colour::Red) && found.is(Colour::Blue) && found.is(Colour::Black));
        assert!(!found.is(Colour::Green));
        let found = counts(&[red, red, red, blue, black]);
        assert!(found.is(Colour::Red) && !found.is(Colour::Blue) && !found.is(Colour::Black));
        assert!(!counts(&[[255; 3]]).is(Colour::White));
    }
}
