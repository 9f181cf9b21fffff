//! The decoder (arXiv 2204.06125, section 2.1): CLIP image embedding and caption to a picture.

mod config;
mod errors;
mod folding;
mod network;
mod pool;
mod trainer;

pub use config::{DecoderConfig, PriorSamples};
pub use network::DecoderNetwork;
pub use trainer::DecoderTask;
