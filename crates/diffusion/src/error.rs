//! What can be wrong with an input.

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An input this crate refuses. The text names the field, the value and what is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A scheduler config asks for something that isn't implemented.
    #[error("scheduler config: `{key}` is {value}; supported: {supported}")]
    UnsupportedConfig {
        /// The key in `scheduler_config.json`.
        key: &'static str,
        /// Its value.
        value: String,
        /// The values that are supported.
        supported: &'static str,
    },
    /// A number is outside its range.
    #[error("`{field}` is {value}; it must be {limit}")]
    OutOfRange {
        /// The argument or config key.
        field: &'static str,
        /// Its value.
        value: String,
        /// The accepted range, in words.
        limit: String,
    },
    /// A slice hasn't the length that another argument implies.
    #[error("`{field}` has {actual} values; expected {expected}")]
    Length {
        /// The argument.
        field: &'static str,
        /// Its length.
        actual: usize,
        /// The length it must have.
        expected: usize,
    },
    /// A step index points past the timesteps.
    #[error("step index {index} is outside the list of {len} timesteps")]
    StepIndex {
        /// The index.
        index: usize,
        /// The number of timesteps.
        len: usize,
    },
    /// The timesteps around a step don't run the way the sampler walks.
    #[error("timesteps {t} and {next} follow each other at step {index}; they must be strictly {direction}")]
    TimestepOrder {
        /// The index of the step.
        index: usize,
        /// The timestep at the index.
        t: u32,
        /// Its neighbour.
        next: u32,
        /// "decreasing" for sampling, "increasing" for inversion.
        direction: &'static str,
    },
    /// A stochastic step came without noise.
    #[error("step {index} adds noise: pass `noise` with {expected} standard normal values")]
    NoiseMissing {
        /// The index of the step.
        index: usize,
        /// The length the noise must have.
        expected: usize,
    },
}

impl Error {
    pub(crate) fn out_of_range(
        field: &'static str,
        value: impl std::fmt::Display,
        limit: impl Into<String>,
    ) -> Self {
        Self::OutOfRange { field, value: value.to_string(), limit: limit.into() }
    }
}

pub(crate) fn check_len(field: &'static str, values: &[f32], expected: usize) -> Result<()> {
    if values.len() == expected {
        return Ok(());
    }
    Err(Error::Length { field, actual: values.len(), expected })
}
