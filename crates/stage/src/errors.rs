//! Failures of the engine, as clients see them.

use unclip_engine::{DenoiseError, JobError, SubmitError};
use unclip_service::{Code, Error};

/// Why the engine of `stage` took no job.
pub fn submit_error(stage: &str, error: &SubmitError) -> Error {
    match error {
        SubmitError::Full { retry_after } => Error {
            retry_after: Some(*retry_after),
            ..Error::new(Code::ResourceExhausted, format!("the {stage}'s queue is full; try again later"))
        },
        SubmitError::Stopped => {
            Error::new(Code::Unavailable, format!("the {stage} is shutting down; try again"))
        }
        SubmitError::Invalid(reason) => Error::new(Code::InvalidArgument, reason.to_string()),
    }
}

/// Why a job of `stage` has no result.
pub fn job_error(stage: &str, error: &JobError) -> Error {
    match error {
        JobError::DeadlineExceeded { step, steps } => {
            let message =
                format!("the deadline passed in the {stage} after {step} of {steps} steps; allow more time");
            Error::new(Code::DeadlineExceeded, message)
        }
        JobError::Denoise(DenoiseError::Condition(reason)) => {
            Error::new(Code::InvalidArgument, reason.clone())
        }
        JobError::EngineStopped => {
            Error::new(Code::Unavailable, format!("the {stage} stopped before the job was done; try again"))
        }
        JobError::Denoise(DenoiseError::Model(_))
        | JobError::NonFinite { .. }
        | JobError::OutputCount { .. }
        | JobError::OutputLength { .. }
        | JobError::Sampler(_)
        | JobError::Panicked(_) => Error::internal(format!("the {stage} failed; its log says why"), error),
    }
}
