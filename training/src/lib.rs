//! Data sets and trainers for CLIP, prior, decoder and upsampler, and measures of what they draw.

pub mod data;

pub mod bundle;
pub mod clip;
pub mod commands;
pub mod decoder;
pub mod diffusion;
mod error;
pub mod eval;
pub mod judge;
pub mod params;
mod picture_tower;
mod pictures;
pub mod prior;
pub mod random;
pub mod run;
pub mod upsampler;

pub use bundle::{ExportOptions, Precision, export};
pub use error::TrainError;
