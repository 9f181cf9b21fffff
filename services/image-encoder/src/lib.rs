//! Image encoder service: pictures to CLIP image embeddings.

mod rpc;
mod start;

pub use rpc::ImageEncoder;
