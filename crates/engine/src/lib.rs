//! The step scheduler: many requests share a diffusion model, one denoising step at a time.
//!
//! An [`Engine`] owns a model, a [`Denoiser`], on a thread of its own. A [`Job`] is one sample: condition, sampler,
//! timesteps, start. Admitted, it becomes a row; guided rows take two lanes of a forward, the others one. Before
//! every step the planner picks the rows that go next, whatever their timestep, step count, guidance scale and
//! sampler. One request never gets all places for rows, nor do long runs. New rows join at the next step; finished, cancelled and expired ones leave at once.
//!
//! A row has its own noise generator, and all arithmetic outside the model works on one row: a result depends on
//! the neighbours only as far as the model's own batching does. Where it must not do so either
//! ([`EngineConfig::batch_invariant`]), the engine proves for every size of a forward that it doesn't, and else lets every row
//! have a forward of its own.
//!
//! ```no_run
//! # use unclip_engine::*;
//! # async fn run<D: Denoiser>(
//! #     build: fn() -> Result<D, DenoiseError>, job: Job<D::Condition>,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let permit = ComputePermit::new();
//! let config = EngineConfig { name: "decoder".into(), max_lanes: 8, max_rows: 16, queue: 64, permit,
//!     batch_invariant: true };
//! let engine = Engine::start(config, build).await?;
//! let mut handle = engine.submit(job)?;
//! while let Some(event) = handle.next_event().await {
//!     println!("{event:?}");
//! }
//! let sample = handle.finish().await?.sample;
//! # Ok(())
//! # }
//! ```

mod admission;
mod denoiser;
mod engine;
mod error;
mod event;
mod job;
mod keep;
mod load;
mod mailbox;
mod meters;
pub mod metric_names;
mod panics;
mod passes;
mod permit;
mod planner;
mod queue;
mod row;
#[cfg(test)]
mod tests;
mod thread;
mod trajectory;
mod worker;

pub use denoiser::{Branch, Denoiser, Lane, StepView};
pub use engine::{Engine, EngineConfig};
pub use error::{DenoiseError, JobError, StartError, SubmitError};
pub use event::{Event, Finished};
pub use job::{Job, Start};
pub use keep::Keep;
pub use load::Load;
pub use mailbox::JobHandle;
pub use permit::{ComputeGuard, ComputePermit};
pub use thread::OwnedThread;
