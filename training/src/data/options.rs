//! What a sampler draws, and how much it varies it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::DataError;
use super::store::{SIDES, Split};

/// Which items take part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Train or held-out items.
    pub split: Split,
    /// Style names; empty: all.
    pub styles: Vec<String>,
    /// Groups, such as `animals-nature`; empty: all.
    pub groups: Vec<String>,
    /// Only the most common concepts, by [`super::store::Concept::rank`], of those that styles, groups, skin tones and
    /// flags leave; 0: all. Both splits choose the same ones.
    pub concepts: usize,
    /// A text file of concept labels, one a line, `#` before remarks: only these concepts take part. Absent: all.
    pub things: Option<PathBuf>,
    /// Whether pictures with a skin tone take part.
    pub skin_tones: bool,
    /// Whether flags of countries and regions take part.
    pub flags: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            split: Split::Train,
            styles: vec![],
            groups: vec![],
            concepts: 0,
            things: None,
            skin_tones: true,
            flags: true,
        }
    }
}

/// Which pairs of colour word and thing a tint may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tints {
    /// Those that training may see.
    Train,
    /// Only those that training never sees.
    HeldOut,
}

/// How pictures and captions are varied. Probabilities are 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Augment {
    /// Side of the pictures that come out, in pixels; 0: the store's.
    pub side: usize,
    /// A background other than white, named in the caption.
    pub background: f32,
    /// The object in another colour, named in the caption.
    pub tint: f32,
    /// Which colours a thing may take.
    pub tints: Tints,
    /// A smaller object, somewhere. Half of them are small, and the caption says so and where.
    pub place: f32,
    /// A style word in the caption.
    pub style_word: f32,
    /// Another name in the label's place, where the thing has one.
    pub names: f32,
    /// Tags beside the label.
    pub tags: f32,
    /// Weight of all skin tones of a person in one style together, beside the 1 of most pictures.
    pub skin_tone_weight: f32,
    /// Weight of a flag of a country or region, likewise.
    pub flag_weight: f32,
    /// No concept twice in one batch, as far as there are others. A contrastive loss takes such a pair for a mistake.
    pub distinct_concepts: bool,
}

impl Default for Augment {
    fn default() -> Self {
        Self {
            side: 0,
            background: 0.25,
            tint: 0.25,
            tints: Tints::Train,
            place: 0.2,
            style_word: 0.5,
            names: 0.3,
            tags: 0.2,
            skin_tone_weight: 0.5,
            flag_weight: 0.3,
            distinct_concepts: false,
        }
    }
}

impl Augment {
    /// No variation, for evaluation: the picture as it is, on white, captioned with its label and style.
    #[must_use]
    pub fn none(side: usize) -> Self {
        let (background, tint, place, names, tags) = (0.0, 0.0, 0.0, 0.0, 0.0);
        Self { side, background, tint, place, style_word: 1.0, names, tags, ..Self::default() }
    }

    /// Checks every number.
    ///
    /// # Errors
    /// [`DataError::Options`] naming the field, its value and its limits.
    pub fn check(&self) -> Result<(), DataError> {
        let wrong = |reason: String| Err(DataError::Options(reason));
        for (name, value) in [
            ("background", self.background),
            ("tint", self.tint),
            ("place", self.place),
            ("style_word", self.style_word),
            ("names", self.names),
            ("tags", self.tags),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(format!("{name} is {value}; it is a probability, 0 to 1"));
            }
        }
        for (name, value) in [("skin_tone_weight", self.skin_tone_weight), ("flag_weight", self.flag_weight)]
        {
            if !(value.is_finite() && value >= 0.0) {
                return wrong(format!("{name} is {value}; it is a weight, 0 or more"));
            }
        }
        if self.side != 0 && !u32::try_from(self.side).is_ok_and(|side| SIDES.contains(&side)) {
            let (low, high) = (SIDES.start(), SIDES.end());
            return wrong(format!(
                "side is {}; choose {low} to {high} pixels, or 0 for the store's",
                self.side
            ));
        }
        Ok(())
    }
}
