//! What training never sees. Decided by hashes of names alone, so that stores of other sides, sets and machines agree.
//!
//! - **Pictures**: of every (concept, style) the hash decides whether all its pictures, skin tones included, are held
//!   out, 80 in 1,000. A concept is always seen in one style at least: if all its styles would go, the one with the
//!   largest hash stays. So what is asked of a model is to draw a thing it knows in a style it knows.
//! - **Folders**: a picture whose concept no other style has is held out itself, 50 in 1,000.
//! - **Tints**: of every (colour word, thing) that the data does not have by itself, 150 in 1,000 are never drawn in
//!   training. See [`HeldOutTints`].
//!
//! The hash is the first eight bytes of BLAKE3 over a salt and the names, as a little-endian integer.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use super::colour::Colour;
use super::store::{Concept, Index, IndexItem, Split};

const PICTURES_PER_MILLE: u64 = 80;
const FOLDER_PICTURES_PER_MILLE: u64 = 50;
const TINTS_PER_MILLE: u64 = 150;

/// Sets every item's split.
pub fn assign(index: &mut Index) {
    let styles = styles_by_concept(&index.items);
    let held_out: BTreeSet<(usize, usize)> =
        styles.iter().flat_map(|(concept, styles)| held_out_styles(index, *concept, styles)).collect();
    for item in &mut index.items {
        let alone = styles.get(&item.concept).is_some_and(|styles| styles.len() == 1);
        let own = index.concepts.get(item.concept).is_some_and(|concept| concept.group.is_empty());
        let out = held_out.contains(&(item.concept, item.style))
            || alone && own && hash("folder", &[&item.key]) % 1000 < FOLDER_PICTURES_PER_MILLE;
        item.split = if out { Split::HeldOut } else { Split::Train };
    }
}

fn styles_by_concept(items: &[IndexItem]) -> BTreeMap<usize, BTreeSet<usize>> {
    let mut styles = BTreeMap::<usize, BTreeSet<usize>>::new();
    for item in items {
        styles.entry(item.concept).or_default().insert(item.style);
    }
    styles
}

/// The styles in which one concept is held out.
fn held_out_styles(index: &Index, concept: usize, styles: &BTreeSet<usize>) -> Vec<(usize, usize)> {
    let key = index.concepts.get(concept).map_or("", |concept| concept.key.as_str());
    let hash_of = |style: &usize| {
        let style = index.styles.get(*style).map_or("", |style| style.name.as_str());
        hash("picture", &[key, style])
    };
    let Some(seen) = styles.iter().max_by_key(|style| (hash_of(style) % 1000, hash_of(style))) else {
        return vec![];
    };
    let out = styles.iter().filter(|style| *style != seen && hash_of(style) % 1000 < PICTURES_PER_MILLE);
    out.map(|style| (concept, *style)).collect()
}

/// Pairs of a colour word and a thing that training never sees.
///
/// The thing is the concept's label without colour words, so that "blue heart" and "red heart" are both hearts, and a pair
/// that the data has by itself (by a label such as "blue heart", or a tag) is never held out.
#[derive(Debug, Clone)]
pub struct HeldOutTints {
    things: Vec<String>,
    native: HashSet<(Colour, String)>,
}

impl HeldOutTints {
    /// The pairs for the concepts of a store.
    #[must_use]
    pub fn new(concepts: &[Concept]) -> Self {
        let things: Vec<String> = concepts.iter().map(|concept| thing(&concept.label)).collect();
        let native = concepts.iter().zip(&things).flat_map(|(concept, thing)| {
            colours(concept).map(move |colour| (colour, thing.clone())).collect::<Vec<_>>()
        });
        Self { native: native.collect(), things }
    }

    /// Whether "a `colour` `concept`" is kept from training.
    #[must_use]
    pub fn contains(&self, colour: Colour, concept: usize) -> bool {
        let Some(thing) = self.things.get(concept) else { return false };
        !self.native.contains(&(colour, thing.clone()))
            && hash("tint", &[colour.word(), thing]) % 1000 < TINTS_PER_MILLE
    }

    /// The thing that a concept shows, whatever its colour.
    #[must_use]
    pub fn thing(&self, concept: usize) -> Option<&str> {
        self.things.get(concept).map(String::as_str)
    }
}

/// The colours that a concept has by its label or tags.
fn colours(concept: &Concept) -> impl Iterator<Item = Colour> {
    let texts = std::iter::once(&concept.label).chain(&concept.names).chain(&concept.tags);
    texts.flat_map(|text| text.split_whitespace()).filter_map(Colour::from_word)
}

/// A label without colour words, in lower case; the label itself if it is nothing else ("orange").
fn thing(label: &str) -> String {
    let words: Vec<&str> =
        label.split_whitespace().filter(|word| Colour::from_word(word).is_none()).collect();
    if words.is_empty() { label.to_lowercase() } else { words.join(" ").to_lowercase() }
}

pub(super) fn hash(salt: &str, names: &[&str]) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"unclip split 1 ").update(salt.as_bytes());
    for name in names {
        hasher.update(&[0]).update(name.as_bytes());
    }
    let bytes = hasher.finalize();
    bytes.as_bytes().iter().take(8).rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::store::Style;
    use super::*;

    fn index(pairs: &[(u8, u8, bool)]) -> Index {
        let concept = |number: u8| Concept {
            key: format!("1F{number:03X}"),
            label: format!("thing {number}"),
            names: vec![],
            tags: vec![],
            group: "objects".into(),
            subgroup: "tool".into(),
            rank: number.into(),
        };
        let item = |(concept, style, skin_tone): &(u8, u8, bool)| IndexItem {
            style: usize::from(*style),
            concept: usize::from(*concept),
            key: format!("{concept}"),
            label: String::new(),
            skin_tone: *skin_tone,
            flag: false,
            cutout: true,
            split: Split::Train,
        };
        let styles = (0..7).map(|style| Style { name: format!("set-{style}"), word: String::new() });
        Index {
            styles: styles.collect(),
            concepts: (0..=u8::MAX).map(concept).collect(),
            items: pairs.iter().map(item).collect(),
        }
    }

    proptest! {
        #[test]
        fn what_is_held_out_is_seen_in_another_style_and_nowhere_in_its_own(
            mut pairs in prop::collection::vec((any::<u8>(), 0..7u8, any::<bool>()), 0..400)
        ) {
            let mut first = index(&pairs);
            assign(&mut first);
            let trained: BTreeSet<_> = first.items.iter().filter(|item| item.split == Split::Train)
                .map(|item| (item.concept, item.style)).collect();
            for item in first.items.iter().filter(|item| item.split == Split::HeldOut) {
                prop_assert!(!trained.contains(&(item.concept, item.style)));
                prop_assert!(trained.iter().any(|(concept, _)| *concept == item.concept));
            }
            pairs.reverse();
            let mut second = index(&pairs);
            assign(&mut second);
            second.items.reverse();
            prop_assert_eq!(first.items, second.items);
        }
    }

    #[test]
    fn about_one_in_twelve_pictures_is_held_out() {
        let all: Vec<_> =
            (0..=u8::MAX).flat_map(|concept| (0..7).map(move |style| (concept, style, false))).collect();
        let mut index = index(&all);
        assign(&mut index);
        let out = index.items.iter().filter(|item| item.split == Split::HeldOut).count();
        assert!((100..190).contains(&out), "{out} of {}", all.len());
    }

    #[test]
    fn pairs_that_the_data_has_are_not_held_out() {
        let mut concepts = index(&[]).concepts;
        for (concept, colour) in concepts.iter_mut().zip(Colour::ALL) {
            concept.label = format!("{} heart", colour.word());
        }
        let tints = HeldOutTints::new(&concepts);
        assert!(Colour::ALL.iter().all(|colour| !tints.contains(*colour, 0)));
        let pairs = (20..=255).flat_map(|concept| Colour::ALL.map(|colour| (colour, concept)));
        let out = pairs.filter(|(colour, concept)| tints.contains(*colour, *concept)).count();
        assert!((300..480).contains(&out), "{out} of 2596");
    }

    #[test]
    fn the_hash_is_the_stated_one() {
        // First eight bytes of `printf 'unclip split 1 tint\0blue\0cat' | b3sum`, little-endian.
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&blake3::hash(b"unclip split 1 tint\0blue\0cat").as_bytes()[..8]);
        assert_eq!(hash("tint", &["blue", "cat"]), u64::from_le_bytes(bytes));
    }
}
