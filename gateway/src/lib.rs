//! The gateway: it validates requests, walks them through the stages, caches what is a function of its inputs, and encodes
//! pictures. It knows no model.

mod args;
pub mod cache;
mod entrance;
mod events;
mod http;
mod image_source;
mod picture;
mod pipeline;
mod plan;
mod pulse;
mod receipt;
mod rpc;
mod stage_watch;
mod stages;
mod toolbox;

pub use args::{CacheArgs, HttpArgs, ModelNames, RequestArgs, StageArgs};
pub use plan::check;
pub use rpc::Gateway;
pub use stages::Stages;
