//! Trained parts as bundles in diffusers' layout.

mod chain;
mod export;
mod schedulers;
mod weights;

pub use export::{ExportOptions, export};
pub(crate) use export::{clip_fingerprint, write_index};

pub use schedulers::{TIMESTEPS, decoder_scheduler, prior_scheduler, super_res_scheduler};
pub use weights::{Precision, save_tensors, write_component};
