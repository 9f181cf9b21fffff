//! Emoji sets joined with their captions.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use super::emojibase::{Emoji, Emojibase};
use super::iconify::{IconSet, read_hexcodes};
use super::{Art, Picture, Source};
use crate::data::DataError;
use crate::data::store::Style;

/// The sets of the emoji data set, and the word that captions use for each style.
pub const EMOJI_SETS: [(&str, &str); 7] = [
    ("noto", "noto"),
    ("noto-v1", "blob"),
    ("twemoji", "twemoji"),
    ("fluent-emoji", "fluent 3d"),
    ("fluent-emoji-flat", "fluent flat"),
    ("emojione", "emojione"),
    ("fxemoji", "firefox"),
];

/// Reads the sets `names` from a folder of npm packages.
///
/// # Errors
/// [`DataError::Missing`] or [`DataError::Malformed`] naming the file; [`DataError::Licence`].
pub fn read_emoji_sets(packages: &Path, names: &[String]) -> Result<Vec<Source>, DataError> {
    let mut emojibase = Emojibase::read(&packages.join("emojibase-data"))?;
    for (set, _) in EMOJI_SETS {
        let folder = packages.join("@iconify-json").join(set);
        if folder.is_dir() {
            for (hexcode, name) in read_hexcodes(&folder)? {
                emojibase.add_name(&name, &hexcode);
            }
        }
    }
    names.iter().map(|name| read_set(packages, name, &emojibase)).collect()
}

fn read_set(packages: &Path, name: &str, emojibase: &Emojibase) -> Result<Source, DataError> {
    let set = IconSet::read(&packages.join("@iconify-json").join(name))?;
    let hexcodes = hexcodes_by_name(&set);
    let mut source = Source {
        style: style(name),
        attribution: set.attribution.clone(),
        captions: Some(emojibase.attribution.clone()),
        pictures: vec![],
        unmatched: vec![],
    };
    let mut seen = HashSet::new();
    for icon in set.names() {
        let Some(emoji) = find(&set, icon, &hexcodes, emojibase) else {
            source.unmatched.push(icon.to_owned());
            continue;
        };
        if let Some(svg) = set.svg(icon)
            && seen.insert(emoji.key.clone())
        {
            source.pictures.push(picture(emoji, svg));
        }
    }
    Ok(source)
}

/// The emoji that an icon shows: by its hexcode, else by one of its names.
fn find<'a>(
    set: &IconSet,
    icon: &str,
    hexcodes: &BTreeMap<&str, &str>,
    emojibase: &'a Emojibase,
) -> Option<&'a Emoji> {
    if let Some(hexcode) = hexcodes.get(icon) {
        return emojibase.by_hexcode(hexcode);
    }
    emojibase.by_name(icon).or_else(|| set.other_names(icon).find_map(|name| emojibase.by_name(name)))
}

fn hexcodes_by_name(set: &IconSet) -> BTreeMap<&str, &str> {
    set.hexcodes.iter().map(|(hexcode, name)| (name.as_str(), hexcode.as_str())).collect()
}

fn style(name: &str) -> Style {
    let known = EMOJI_SETS.iter().find(|(set, _)| *set == name);
    let word = known.map_or_else(|| name.replace('-', " "), |(_, word)| (*word).to_owned());
    Style { name: name.to_owned(), word }
}

fn picture(emoji: &Emoji, svg: String) -> Picture {
    Picture {
        key: emoji.key.clone(),
        label: emoji.label.clone(),
        skin_tone: emoji.skin_tone,
        meaning: emoji.meaning.clone(),
        art: Art::Svg(svg),
    }
}
