//! Panics as errors: tch panics where libtorch throws.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::JobError;

/// Runs `work`; a panic's text is the error. What `work` borrows must not matter afterwards, or bear being left
/// in the middle, as the denoiser must.
pub(crate) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| text(&*payload))
}

/// Runs `work`; a panic is [`JobError::Panicked`].
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    catch(work).unwrap_or_else(|text| Err(JobError::Panicked(text)))
}

fn text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message").to_owned()
}
