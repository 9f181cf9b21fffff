//! What the stage servers share: flags for the model, what a stage says of itself, and diffusion jobs as streams.

mod args;
mod branches;
mod diffusion;
mod errors;
mod info;
mod job;
mod keep;
mod messages;
mod stream;
mod worker;

pub use args::{BatchInvariant, BundleArgs, DeviceArgs, EngineArgs, NetworkArgs, OnnxRuntimeArgs};
pub use branches::Branches;
pub use diffusion::{DiffusionSpec, DiffusionStage, Inversion, Inverted, Picture, PictureRequest, defaults};
pub use errors::{job_error, submit_error};
pub use info::StageInfo;
pub use job::{JobOptions, noise_at, noise_message};
pub use stream::{StageStream, StreamEvent};
pub use worker::Worker;
