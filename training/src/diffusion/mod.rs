//! What the diffusion trainers share: the forward process, losses, sampling and the configs of U-Nets.

mod objective;
mod process;
mod sampling;
mod unet;
mod variational;

pub use objective::{Objective, Prediction};
pub use process::{Draw, Process, add_noise};
pub(crate) use sampling::timesteps;
pub use sampling::{Sampling, sample};
pub use unet::UNetShape;
pub(crate) use unet::{super_res, text_proj, unet};
pub use variational::variance_bound;
