//! What the index of a store holds, and the fixed header in front of the pixels.

use serde::{Deserialize, Serialize};

/// The format version that this code writes and reads.
pub const VERSION: u32 = 1;
/// The sides a picture may have, in pixels.
pub const SIDES: std::ops::RangeInclusive<u32> = 8..=1024;
/// Where the pixels start: one page, so that pictures of 64 pixels lie on page boundaries.
pub(super) const PIXELS_AT: usize = 4096;
/// The first bytes of a store.
const MAGIC: &[u8; 8] = b"UNCLIPDS";

/// Which half of the data an item belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// Trainers may draw it.
    Train,
    /// Only evaluation may.
    HeldOut,
}

/// A drawing style: one emoji set, or one folder of images.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Style {
    /// The set's name, such as `fluent-emoji-flat`.
    pub name: String,
    /// How a caption calls it, such as `fluent flat`. Empty: captions never name this style.
    pub word: String,
}

/// What a picture shows, whatever the style. All skin tones of one person are one concept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concept {
    /// A key that is the same in every store: the hexcode without skin tone, or `folder/file`.
    pub key: String,
    /// Its name, such as `grinning cat`.
    pub label: String,
    /// Other names that can stand for the label, such as `car` for `automobile`.
    pub names: Vec<String>,
    /// Words that go with it.
    pub tags: Vec<String>,
    /// The broad group, such as `animals-nature`; empty for folders.
    pub group: String,
    /// The narrow group, such as `animal-mammal`; empty for folders.
    pub subgroup: String,
    /// How common it is taken to be, 0 for the most common: concepts that more sets draw come first, then older ones,
    /// then by hash, so that the first few hundred are of all groups.
    pub rank: u32,
}

/// One picture's entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexItem {
    /// Index into [`Index::styles`].
    pub style: usize,
    /// Index into [`Index::concepts`].
    pub concept: usize,
    /// The hexcode, skin tone included, or `folder/file`.
    pub key: String,
    /// The item's own name; with a skin tone it differs from the concept's.
    pub label: String,
    /// Whether a skin tone was chosen.
    pub skin_tone: bool,
    /// Whether it is the flag of a country or region.
    pub flag: bool,
    /// Whether part of the picture is transparent, so that a background shows.
    pub cutout: bool,
    /// Train or held out.
    pub split: Split,
}

/// The JSON at the end of a store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The styles, by id.
    pub styles: Vec<Style>,
    /// The concepts, by id.
    pub concepts: Vec<Concept>,
    /// The items, in the order of their pixels.
    pub items: Vec<IndexItem>,
}

/// The first 104 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) side: u32,
    pub(super) items: u64,
    pub(super) index_at: u64,
    pub(super) index_len: u64,
    pub(super) index_hash: [u8; 32],
    pub(super) pixel_hash: [u8; 32],
}

impl Header {
    /// The header padded to the start of the pixels.
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(PIXELS_AT);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.side.to_le_bytes());
        for number in [self.items, self.index_at, self.index_len] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.index_hash);
        bytes.extend_from_slice(&self.pixel_hash);
        bytes.resize(PIXELS_AT, 0);
        bytes
    }

    /// Reads a header; the reason if it is not one of this version.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut rest = bytes;
        if take::<8>(&mut rest)? != *MAGIC {
            return Err("not a store of pictures: it does not begin with UNCLIPDS".into());
        }
        let version = u32::from_le_bytes(take(&mut rest)?);
        if version != VERSION {
            return Err(format!("format version {version}, this program reads {VERSION}"));
        }
        Ok(Self {
            side: u32::from_le_bytes(take(&mut rest)?),
            items: u64::from_le_bytes(take(&mut rest)?),
            index_at: u64::from_le_bytes(take(&mut rest)?),
            index_len: u64::from_le_bytes(take(&mut rest)?),
            index_hash: take(&mut rest)?,
            pixel_hash: take(&mut rest)?,
        })
    }
}

/// The next `N` bytes.
fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], String> {
    let (head, tail) = rest.split_first_chunk::<N>().ok_or("it ends within the header")?;
    *rest = tail;
    Ok(*head)
}
