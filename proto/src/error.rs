//! Invalid input, told by field.

/// What is wrong with a field of a request. It becomes INVALID_ARGUMENT.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct FieldError {
    /// The field's path, as `items[2].noise.draws`.
    pub field: String,
    /// The value, the limit and what to do.
    pub problem: String,
}

impl FieldError {
    /// An error about `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }

    /// A field that must be there and is not.
    pub fn missing(field: impl Into<String>) -> Self {
        Self::new(field, "missing, it is required")
    }

    /// A number outside its range.
    pub fn out_of_range(
        field: impl Into<String>,
        value: impl std::fmt::Display,
        low: impl std::fmt::Display,
        high: impl std::fmt::Display,
    ) -> Self {
        Self::new(field, format!("{value} is out of range, it must be from {low} to {high}"))
    }

    /// The same error, seen from a message that holds the field under `parent`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.field = format!("{parent}.{}", self.field);
        self
    }
}
