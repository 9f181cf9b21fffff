//! The U-Nets of the decoder and the upsamplers.

mod condition;
mod level;
mod trunk;
mod unconditional;

pub use condition::UNet2DConditionModel;
pub use unconditional::UNet2DModel;
