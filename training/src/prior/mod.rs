//! The diffusion prior (arXiv 2204.06125, section 2.2): caption to CLIP image embedding.

mod config;
mod frozen;
mod network;
mod trainer;

pub use config::{PriorShape, PriorTrainingConfig};
pub use frozen::FrozenPrior;
pub use network::PriorNetwork;
pub use trainer::PriorTask;
