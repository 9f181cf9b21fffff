//! What can go wrong, by the moment it shows: at start, at submission, in the model, in a job.

use std::sync::Arc;
use std::time::Duration;

/// A model's failure.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DenoiseError {
    /// The job's condition doesn't fit the model. The text is for the client: field, value, limit.
    #[error("{0}")]
    Condition(String),
    /// The model failed. The text is for the operator.
    #[error("the model failed: {0}")]
    Model(#[source] Arc<dyn std::error::Error + Send + Sync>),
}

impl DenoiseError {
    /// A failure of the model: an error of another crate, or a text.
    pub fn model(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Model(Arc::from(error.into()))
    }
}

/// Why a job has no sample. All but [`DenoiseError::Condition`] and the deadline are for the operator to read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JobError {
    /// The deadline passed while the job waited or before the step.
    #[error("the deadline passed after {step} of {steps} steps")]
    DeadlineExceeded {
        /// The steps taken, those before a checkpoint included.
        step: u32,
        /// The run's number of steps.
        steps: u32,
    },
    /// The model refused the condition or failed.
    #[error(transparent)]
    Denoise(#[from] DenoiseError),
    /// The model's output, or the sample made of it, has NaN or infinite values.
    #[error("{count} values of the {what} aren't finite at step {step}, timestep {timestep}")]
    NonFinite {
        /// "model output" or "sample".
        what: &'static str,
        /// How many values.
        count: usize,
        /// The step, from 0.
        step: u32,
        /// Its training timestep.
        timestep: u32,
    },
    /// The model gave another number of outputs than there were lanes.
    #[error("the model gave {actual} outputs for {expected} lanes")]
    OutputCount {
        /// The outputs.
        actual: usize,
        /// The lanes.
        expected: usize,
    },
    /// The model's output hasn't the length that the sampler needs.
    #[error("the model's output has {actual} values; the sampler needs {expected}")]
    OutputLength {
        /// The length of the output.
        actual: usize,
        /// `sample_len`, twice that with a variance half.
        expected: usize,
    },
    /// The sampler refused the step.
    #[error("the sampler refused the step: {0}")]
    Sampler(#[from] unclip_diffusion::Error),
    /// The model panicked. The engine lives on.
    #[error("the model panicked: {0}")]
    Panicked(String),
    /// The engine was dropped first.
    #[error("the engine stopped before the job was done")]
    EngineStopped,
}

/// Why a job wasn't taken on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// As many jobs wait as may.
    #[error("the queue is full; try again in {retry_after:?}")]
    Full {
        /// About when a place is free, judged by the work that is outstanding.
        retry_after: Duration,
    },
    /// The engine drains or has stopped; it takes no more jobs.
    #[error("the engine is shutting down and takes no more jobs")]
    Stopped,
    /// The job can't run. The text names the field, its value and the limit.
    #[error("invalid job: {0}")]
    Invalid(#[from] unclip_diffusion::Error),
}

/// Why an engine didn't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A limit in the config is out of range.
    #[error("engine config: {0}")]
    Config(#[source] unclip_diffusion::Error),
    /// The operating system gave no thread.
    #[error("can't start the engine's thread: {0}")]
    Thread(#[source] std::io::Error),
    /// The denoiser couldn't be built.
    #[error("can't build the model: {0}")]
    Build(#[source] DenoiseError),
    /// Building the denoiser panicked.
    #[error("building the model panicked: {0}")]
    Panicked(String),
}
