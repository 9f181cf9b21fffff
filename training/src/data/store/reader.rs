//! Opening a store. Nothing in the file is believed before it is checked.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use super::format::{Concept, Header, Index, IndexItem, PIXELS_AT, SIDES, Split, Style};
use crate::data::DataError;

/// A store, mapped. Share it between threads in an `Arc`.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    map: Mmap,
    header: Header,
    side: usize,
    index: Index,
}

/// One picture and what is known about it.
#[derive(Debug, Clone, Copy)]
pub struct ItemRef<'a> {
    /// Its index in the store.
    pub index: usize,
    /// Pixels `[side, side, 4]`, straight alpha.
    pub rgba: &'a [u8],
    /// Side in pixels.
    pub side: usize,
    /// Style id.
    pub style_id: usize,
    /// The style.
    pub style: &'a Style,
    /// Concept id: the same for all styles and skin tones of one thing.
    pub concept_id: usize,
    /// The concept: label, tags, groups, rank.
    pub concept: &'a Concept,
    /// The item's own entry: key, label, skin tone, flag, split.
    pub entry: &'a IndexItem,
}

impl Store {
    /// Maps the store at `path` and checks header and index.
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be read, [`DataError::Store`] if it is not a store, truncated, damaged or of
    /// another version.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let map = map(path)?;
        let (header, side, index) =
            parse(&map).map_err(|reason| DataError::Store { path: path.to_owned(), reason })?;
        Ok(Self { path: path.to_owned(), map, header, side, index })
    }

    /// Reads all pixels and compares them with their hash.
    ///
    /// # Errors
    /// [`DataError::Store`] if they differ.
    pub fn verify(&self) -> Result<(), DataError> {
        let pixels = self.map.get(PIXELS_AT..PIXELS_AT + self.len() * self.stride()).unwrap_or_default();
        if blake3::hash(pixels).as_bytes() == &self.header.pixel_hash {
            return Ok(());
        }
        Err(DataError::Store { path: self.path.clone(), reason: "the pixels do not have their hash".into() })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A fingerprint of pictures and captions, in hexadecimal.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let hashes = [self.header.pixel_hash, self.header.index_hash].concat();
        blake3::hash(&hashes).to_hex().to_string()
    }

    /// Number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.items.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.index.items.is_empty()
    }

    /// Side of every picture, in pixels.
    #[must_use]
    pub fn side(&self) -> usize {
        self.side
    }

    /// The styles, by id.
    #[must_use]
    pub fn styles(&self) -> &[Style] {
        &self.index.styles
    }

    /// The concepts, by id.
    #[must_use]
    pub fn concepts(&self) -> &[Concept] {
        &self.index.concepts
    }

    /// Item `index`, or `None` past the end.
    #[must_use]
    pub fn item(&self, index: usize) -> Option<ItemRef<'_>> {
        let entry = self.index.items.get(index)?;
        let start = PIXELS_AT + index * self.stride();
        Some(ItemRef {
            index,
            rgba: self.map.get(start..start + self.stride())?,
            side: self.side,
            style_id: entry.style,
            style: self.index.styles.get(entry.style)?,
            concept_id: entry.concept,
            concept: self.index.concepts.get(entry.concept)?,
            entry,
        })
    }

    /// All items.
    pub fn items(&self) -> impl Iterator<Item = ItemRef<'_>> {
        (0..self.len()).filter_map(|index| self.item(index))
    }

    /// The items of one split.
    pub fn split(&self, split: Split) -> impl Iterator<Item = ItemRef<'_>> {
        self.items().filter(move |item| item.entry.split == split)
    }

    /// Bytes of one picture.
    fn stride(&self) -> usize {
        self.side * self.side * 4
    }
}

#[expect(unsafe_code, reason = "memory mapping; a store must not be rewritten in place while it is in use")]
fn map(path: &Path) -> Result<Mmap, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    // SAFETY: the mapping is read-only, and the writer replaces stores by renaming, never in place.
    unsafe { Mmap::map(&file) }.map_err(DataError::io(path))
}

/// Header, side and index; the reason if anything does not fit.
fn parse(bytes: &[u8]) -> Result<(Header, usize, Index), String> {
    let header = Header::parse(bytes)?;
    if !SIDES.contains(&header.side) {
        return Err(format!("side {}, allowed are {} to {}", header.side, SIDES.start(), SIDES.end()));
    }
    let side = usize::try_from(header.side).map_err(|error| error.to_string())?;
    let index_bytes = index_bytes(bytes, &header)?;
    if blake3::hash(index_bytes).as_bytes() != &header.index_hash {
        return Err("the index does not have its hash".into());
    }
    let index: Index = serde_json::from_slice(index_bytes).map_err(|error| format!("index: {error}"))?;
    check(&index, header.items)?;
    Ok((header, side, index))
}

/// The bytes of the index, once all lengths are known to fit the file.
fn index_bytes<'a>(bytes: &'a [u8], header: &Header) -> Result<&'a [u8], String> {
    let stride = u64::from(header.side).pow(2) * 4;
    let pixels_end = header.items.checked_mul(stride).and_then(|size| size.checked_add(PIXELS_AT as u64));
    if pixels_end != Some(header.index_at) {
        return Err(format!("{} items of {stride} bytes do not end where the index begins", header.items));
    }
    let end = header.index_at.checked_add(header.index_len);
    if end != Some(bytes.len() as u64) {
        let expected = end.map_or("more".to_owned(), |end| end.to_string());
        return Err(format!("{} bytes long, the header says {expected}", bytes.len()));
    }
    let start = usize::try_from(header.index_at).map_err(|error| error.to_string())?;
    bytes.get(start..).ok_or_else(|| "it ends before the index".into())
}

fn check(index: &Index, items: u64) -> Result<(), String> {
    if index.items.len() as u64 != items {
        return Err(format!("{items} pictures, but {} entries in the index", index.items.len()));
    }
    for (number, item) in index.items.iter().enumerate() {
        if item.style >= index.styles.len() {
            return Err(format!("item {number}: style {} of {}", item.style, index.styles.len()));
        }
        if item.concept >= index.concepts.len() {
            return Err(format!("item {number}: concept {} of {}", item.concept, index.concepts.len()));
        }
    }
    Ok(())
}
