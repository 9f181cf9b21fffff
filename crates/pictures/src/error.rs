//! Why a picture is not taken.

use std::time::Duration;

/// A picture that is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is wrong and stays wrong.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field of the request that brought it.
        field: String,
        /// The value, the limit and what to do.
        problem: String,
    },
    /// There is no room for more pictures now.
    #[error("too many pictures are being decoded; try again later")]
    Full {
        /// When to try again.
        retry_after: Duration,
    },
    /// The work on it came to no end.
    #[error("the picture could not be worked on: {0}")]
    Panicked(String),
}

impl Error {
    pub(crate) fn invalid(field: &str, problem: impl Into<String>) -> Self {
        Self::Invalid { field: field.to_owned(), problem: problem.into() }
    }
}
