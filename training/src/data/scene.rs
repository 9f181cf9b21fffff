//! Where an object lies, in which colours, and the pixels that come of it.

use super::colour::Colour;
use super::draws::Draws;
use super::options::Augment;
use super::resample::{premultiply, resample};
use super::store::ItemRef;
use super::tint::tint;

/// Half of the moved objects are small and somewhere that the caption names; the others move a little, unnamed.
const NAMED: f32 = 0.5;
/// A small object's side, in hundredths of the picture's.
const SMALL: (usize, usize) = (45, 60);
/// A slightly smaller object's side, likewise.
const NUDGED: (usize, usize) = (74, 98);
/// People keep their colours: "a blue police officer" may mean the uniform.
const UNTINTED_GROUP: &str = "people-body";

/// A place that captions name, in thirds from the left and the top.
type Named = (&'static str, usize, usize);

const PLACES: [Named; 9] = [
    ("in the middle", 1, 1),
    ("on the left", 0, 1),
    ("on the right", 2, 1),
    ("at the top", 1, 0),
    ("at the bottom", 1, 2),
    ("in the top left corner", 0, 0),
    ("in the top right corner", 2, 0),
    ("in the bottom left corner", 0, 2),
    ("in the bottom right corner", 2, 2),
];

/// The object's square within the picture, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// From the left edge.
    pub left: usize,
    /// From the top edge.
    pub top: usize,
    /// Its side.
    pub side: usize,
    /// How a caption names it; the object is small then.
    pub words: Option<&'static str>,
}

/// How one item is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scene {
    /// The colour that the object is given.
    pub tint: Option<Colour>,
    /// What it lies on.
    pub background: Colour,
    /// Where it lies.
    pub place: Place,
}

impl Scene {
    /// Draws a scene for `item` in a picture of `side` pixels; `may_tint` says which colours it may take.
    pub(super) fn draw(
        item: ItemRef<'_>,
        augment: &Augment,
        side: usize,
        may_tint: impl Fn(Colour) -> bool,
        draws: &mut Draws,
    ) -> Self {
        if !item.entry.cutout {
            return Self { tint: None, background: Colour::White, place: Place::all(side) };
        }
        let background = background(augment, draws);
        let tint = if is_tintable(item) && draws.chance(augment.tint) {
            let colours = Colour::ALL.into_iter().filter(|colour| *colour != background && may_tint(*colour));
            draws.pick(&colours.collect::<Vec<_>>()).copied()
        } else {
            None
        };
        let place = if draws.chance(augment.place) { Place::draw(side, draws) } else { Place::all(side) };
        Self { tint, background, place }
    }

    /// `item` as this scene shows it, `[3, side, side]` in -1..=1.
    #[must_use]
    pub fn picture(&self, item: ItemRef<'_>, side: usize) -> Vec<f32> {
        let mut image = vec![0.0; 3 * side * side];
        self.paint(item, side, &mut image);
        image
    }

    /// Whether training gives an item other colours.
    #[must_use]
    pub fn can_tint(item: ItemRef<'_>) -> bool {
        item.entry.cutout && is_tintable(item)
    }

    /// Paints `item` into `image`, `[3, side, side]` in -1..=1.
    pub(super) fn paint(&self, item: ItemRef<'_>, side: usize, image: &mut [f32]) {
        let mut recoloured;
        let mut rgba = item.rgba;
        if let Some(colour) = self.tint {
            recoloured = rgba.to_vec();
            tint(&mut recoloured, colour);
            rgba = &recoloured;
        }
        let object = resample(&premultiply(rgba), item.side, self.place.side);
        let background = self.background.rgb().map(|value| f32::from(value) / 127.5 - 1.0);
        let plane = side * side;
        for (channel, values) in image.chunks_exact_mut(plane).enumerate() {
            let under = background[channel];
            if self.place.side < side {
                values.fill(under);
            }
            let rows = values.chunks_exact_mut(side).skip(self.place.top);
            for (row, pixels) in rows.zip(object.chunks_exact(self.place.side * 4)) {
                let row = row.iter_mut().skip(self.place.left);
                for (value, pixel) in row.zip(pixels.as_chunks::<4>().0) {
                    // Premultiplied, and -1 is black: over = colour + (1 - alpha) under, each shifted by 1.
                    let over = 2.0 * pixel[channel] - 1.0 + (1.0 - pixel[3]) * (under + 1.0);
                    *value = over.clamp(-1.0, 1.0);
                }
            }
        }
    }
}

fn background(augment: &Augment, draws: &mut Draws) -> Colour {
    let others: Vec<Colour> = Colour::ALL.into_iter().filter(|colour| *colour != Colour::White).collect();
    let other = if draws.chance(augment.background) { draws.pick(&others) } else { None };
    other.copied().unwrap_or(Colour::White)
}

fn is_tintable(item: ItemRef<'_>) -> bool {
    !item.entry.skin_tone && !item.entry.flag && item.concept.group != UNTINTED_GROUP
}

impl Place {
    /// The whole picture.
    #[must_use]
    pub fn all(side: usize) -> Self {
        Self { left: 0, top: 0, side, words: None }
    }

    fn draw(side: usize, draws: &mut Draws) -> Self {
        if draws.chance(NAMED) { Self::named(side, draws) } else { Self::nudged(side, draws) }
    }

    fn named(side: usize, draws: &mut Draws) -> Self {
        let (words, across, down) = PLACES[draws.below(PLACES.len())];
        let own = hundredths(side, draws.between(SMALL.0, SMALL.1));
        let at = |third: usize| (side - own) * third / 2;
        Self { left: at(across), top: at(down), side: own, words: Some(words) }
    }

    fn nudged(side: usize, draws: &mut Draws) -> Self {
        let own = hundredths(side, draws.between(NUDGED.0, NUDGED.1));
        let room = side - own;
        Self { left: draws.between(0, room), top: draws.between(0, room), side: own, words: None }
    }
}

fn hundredths(side: usize, of: usize) -> usize {
    (side * of / 100).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_stay_inside_the_picture() {
        for index in 0..500 {
            for side in [8, 32, 64, 255] {
                let place = Place::draw(side, &mut Draws::new(3, index));
                assert!(place.left + place.side <= side && place.top + place.side <= side, "{place:?}");
            }
        }
    }
}
