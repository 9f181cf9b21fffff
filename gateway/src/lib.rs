//! The gateway: it validates requests, walks them through the stages, caches what is a function of its inputs, and encodes
//! pictures. It knows no model.

mod args;
pub mod cache;
mod events;
mod http;
mod image_source;
mod model_info;
mod picture;
mod pipeline;
mod plan;
mod receipt;
mod rpc;
mod stages;
mod toolbox;

pub use args::{CacheArgs, HttpArgs, ModelNames, StageArgs};
pub use plan::check;
pub use rpc::Gateway;
pub use stages::Stages;
