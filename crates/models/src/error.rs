//! The one error type of this crate.

use unclip_bundle::BundleError;

/// Why a network could not be loaded or run.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// The bundle's files are missing, damaged or of another network.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// An input of the wrong size.
    #[error("{field} has {found}, expected {expected}")]
    Input {
        /// The input.
        field: &'static str,
        /// What came.
        found: String,
        /// What the network takes.
        expected: String,
    },
    /// A device or dtype that does not exist here.
    #[error("{field} is {found}: {reason}")]
    Device {
        /// The setting: `device` or `dtype`.
        field: &'static str,
        /// Its value.
        found: String,
        /// What is wrong with it and what to do.
        reason: String,
    },
    /// libtorch refused an operation.
    #[error("libtorch: {0}")]
    Torch(#[from] tch::TchError),
}

impl ModelError {
    /// An input of the wrong size.
    pub(crate) fn input(field: &'static str, found: impl ToString, expected: impl ToString) -> Self {
        Self::Input { field, found: found.to_string(), expected: expected.to_string() }
    }
}

/// Refuses an input whose size is not the expected one. `unit` is what is counted, as "values".
pub(crate) fn expect_len(
    field: &'static str,
    found: usize,
    expected: usize,
    unit: &str,
) -> Result<(), ModelError> {
    if found == expected {
        return Ok(());
    }
    Err(ModelError::input(field, format!("{found} {unit}"), expected))
}

/// Refuses a tensor of another shape; -1 stands for any size but zero.
pub(crate) fn expect_shape(field: &'static str, found: &[i64], expected: &[i64]) -> Result<(), ModelError> {
    let fits = found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found == expected || (*expected == -1 && *found > 0));
    if fits {
        return Ok(());
    }
    Err(ModelError::input(field, format!("shape {found:?}"), format!("{expected:?}")))
}
