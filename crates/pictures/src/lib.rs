//! Uploaded pictures: decoded within limits, upright, eight bits a channel, and fitted to a model's size.

mod decode;
mod fit;
#[cfg(test)]
mod tests;

pub use decode::{MAX_BYTES, MAX_SIDE, decode, over_white};
pub use fit::{Mask, fit, fit_mask};
