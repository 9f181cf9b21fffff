//! Data sets: from emoji sets or folders of images to batches of pictures and captions.
//!
//! `unclip train data` reads sources, rasterises them and writes one [`Store`]. A trainer opens it and draws from a
//! [`Sampler`]:
//!
//! ```no_run
//! use std::sync::Arc;
//! use unclip_training::data::{Augment, Sampler, Selection, Store};
//!
//! let store = Arc::new(Store::open("out/emoji-64.unclipds")?);
//! let sampler = Sampler::new(store, &Selection::default(), Augment { side: 32, ..Augment::default() })?;
//! let batch = sampler.batch(7, 0, 16);
//! assert_eq!(batch.images.len(), 16 * 3 * 32 * 32);
//! # Ok::<(), unclip_training::data::DataError>(())
//! ```

pub mod attribution;
pub mod build;
mod caption;
pub mod cli;
mod colour;
mod draws;
mod error;
mod oklab;
mod options;
pub mod raster;
mod resample;
mod sampler;
mod scene;
mod select;
mod sheet;
pub mod source;
pub mod split;
pub mod store;
mod tint;

pub use colour::{Colour, dominant_colour};
pub use error::DataError;
pub use options::{Augment, Selection, Tints};
pub use sampler::{Batch, Sampler};
pub use scene::{Place, Scene};
pub use sheet::contact_sheet;
pub use store::{ItemRef, Split, Store};
pub use tint::tint;
