//! Noise schedules, samplers, guidance and torch-compatible noise: the mathematics of one row at one step.
//!
//! Everything works on `f32` slices of one row (one image or one embedding), flattened row-major with the
//! channels first. There is no model, no I/O and no async here, and no input panics.
//!
//! The reference is diffusers 0.42.1 on torch 2.11.0. Its tables and samplers compute in `f32`, and so does
//! this crate, in the same order: at timestep 999 of Karlo's schedule `sqrt(alphas_cumprod)` is 4.9e-5, so
//! a table in `f64` gives visibly other numbers.

mod config;
mod ddim;
mod error;
pub mod guidance;
mod inverse;
pub mod noise;
mod sampler;
mod schedule;
mod slerp;
mod timesteps;
mod unclip;

pub use config::{
    BetaSchedule, MAX_TRAIN_TIMESTEPS, PredictionType, SchedulerClass, SchedulerConfig, VarianceType,
};
pub use ddim::DdimSampler;
pub use error::{Error, Result};
pub use inverse::DdimInverse;
pub use sampler::{Sampler, StepInput, StepOutput};
pub use schedule::NoiseSchedule;
pub use slerp::slerp;
pub use timesteps::TimestepSpacing;
pub use unclip::UnClipSampler;
