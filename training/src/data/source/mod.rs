//! Where pictures come from: emoji sets, or folders of images with captions.

mod emoji;
mod emojibase;
mod folder;
mod iconify;
mod json;
mod names;

use std::path::PathBuf;
use std::sync::Arc;

pub use emoji::{EMOJI_SETS, read_emoji_sets};
pub use emojibase::Emojibase;
pub use folder::read_folder;
pub use iconify::IconSet;
pub use names::add_names;

use super::attribution::Attribution;
use super::store::Style;

/// One style's pictures.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its name and how captions call it.
    pub style: Style,
    /// Who made it, under which licence.
    pub attribution: Attribution,
    /// Who wrote its captions, if someone else did.
    pub captions: Option<Attribution>,
    /// What it holds.
    pub pictures: Vec<Picture>,
    /// Names that no caption was found for.
    pub unmatched: Vec<String>,
}

/// Everyone to name for `sources`, each once.
#[must_use]
pub fn attributions(sources: &[Source]) -> Vec<&Attribution> {
    let mut all: Vec<&Attribution> = sources.iter().map(|source| &source.attribution).collect();
    for captions in sources.iter().filter_map(|source| source.captions.as_ref()) {
        if !all.contains(&captions) {
            all.push(captions);
        }
    }
    all
}

/// A picture that is yet to be drawn.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The hexcode, skin tone included, or `folder/file`.
    pub key: String,
    /// Its own name.
    pub label: String,
    /// Whether a skin tone was chosen.
    pub skin_tone: bool,
    /// What it shows.
    pub meaning: Arc<Meaning>,
    /// How to draw it.
    pub art: Art,
}

/// What a picture shows, apart from style and skin tone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meaning {
    /// The hexcode without skin tone, or `folder/file`.
    pub key: String,
    /// Its name.
    pub label: String,
    /// Other names.
    pub names: Vec<String>,
    /// Words that go with it.
    pub tags: Vec<String>,
    /// The broad group.
    pub group: String,
    /// The narrow group.
    pub subgroup: String,
    /// Whether it is the flag of a country or region.
    pub flag: bool,
    /// The emoji version that brought it, in tenths; 0 for folders.
    pub version: u32,
}

/// How to draw a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Art {
    /// An SVG document.
    Svg(String),
    /// An image file.
    File(PathBuf),
}
