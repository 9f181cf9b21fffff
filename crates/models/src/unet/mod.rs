//! The U-Nets of the decoder and the upsamplers.

mod condition;
mod context;
mod level;
mod trunk;
mod unconditional;

pub use condition::UNet2DConditionModel;
pub(crate) use context::MASKED;
pub use context::{ContextBatch, KeyValues, mask_bias};
pub use unconditional::UNet2DModel;
