//! The two sides of classifier-free guidance, prepared.

use unclip_engine::{Branch, DenoiseError, Lane};

/// A job's contexts on the device.
pub struct Branches<T> {
    /// With the condition.
    pub conditional: T,
    /// Without it, where guidance is on.
    pub unconditional: Option<T>,
}

impl<T> Branches<T> {
    /// The context that a lane asks for.
    ///
    /// # Errors
    /// An unconditional lane of a job that was prepared without guidance.
    pub fn of<'a>(lane: &Lane<'a, Self>) -> Result<&'a T, DenoiseError> {
        match lane.branch {
            Branch::Conditional => Ok(&lane.context.conditional),
            Branch::Unconditional => {
                let missing = || DenoiseError::Condition("negative: missing, guidance needs it".to_owned());
                lane.context.unconditional.as_ref().ok_or_else(missing)
            }
        }
    }
}
