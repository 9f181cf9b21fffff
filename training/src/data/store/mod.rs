//! The store: every picture of a data set and its captions in one memory-mapped file.
//!
//! # Format, version 1
//!
//! Numbers are little-endian.
//!
//! | bytes | content |
//! |---|---|
//! | 0..8 | `UNCLIPDS` |
//! | 8..12 | version, u32 |
//! | 12..16 | side of every picture in pixels, u32 |
//! | 16..24 | number of items, u64 |
//! | 24..32 | offset of the index, u64 |
//! | 32..40 | length of the index, u64 |
//! | 40..72 | BLAKE3 of the index |
//! | 72..104 | BLAKE3 of the pixels |
//! | 104..4096 | zero |
//! | 4096..offset | items x side x side x RGBA, u8, straight alpha |
//! | offset.. | index: JSON, see [`Index`] |
//!
//! Opening checks the lengths, the index's hash and every number in the index; [`Store::verify`] also reads the pixels
//! and checks their hash.

mod format;
mod reader;
mod writer;

pub use format::{Concept, Index, IndexItem, SIDES, Split, Style, VERSION};
pub use reader::{ItemRef, Store};
pub use writer::StoreWriter;
