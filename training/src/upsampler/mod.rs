//! The upsampler (arXiv 2204.06125, section 2.1): a small picture to one four times as large.

mod config;
mod degrade;
mod trainer;

pub use config::{Degradation, UpsamplerConfig};
pub use degrade::degrade;
pub use trainer::{UpsamplerNetwork, UpsamplerTask};
