//! Uploaded pictures: decoded within limits of size and memory, upright, eight bits a channel, and fitted to a model's size;
//! and drawn ones at the size that was asked for.

mod decode;
mod error;
mod fit;
mod pad;
mod pool;
pub mod resample;
#[cfg(test)]
mod tests;

pub use decode::{MAX_BYTES, MAX_SIDE, Picture, decode, decode_in, decoded_bytes};
pub use error::Error;
pub use fit::{Mask, fit, fit_mask};
pub use pad::pad;
pub use pool::{MIN_BUDGET, Permit, Pool};
