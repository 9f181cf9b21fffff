//! The U-Nets of the decoder and the upsamplers.

mod condition;
mod level;
mod trunk;
mod unconditional;

pub(crate) use condition::MASKED;
pub use condition::UNet2DConditionModel;
pub use level::ContextBatch;
pub use unconditional::UNet2DModel;
