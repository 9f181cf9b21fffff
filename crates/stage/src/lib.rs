//! What the stage servers share: flags for the model, what a stage says of itself, and diffusion jobs as streams.

mod args;
mod errors;
mod info;
mod job;
mod stream;
mod worker;

pub use args::{BundleArgs, DeviceArgs, EngineArgs, OnnxRuntimeArgs};
pub use errors::{job_error, submit_error};
pub use info::StageInfo;
pub use job::{JobOptions, noise_at, noise_message, start};
pub use stream::{StageStream, StreamEvent, forward};
pub use worker::Worker;
