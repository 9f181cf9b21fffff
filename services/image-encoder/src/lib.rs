//! Image encoder service: pictures to CLIP image embeddings.

mod pictures;
mod rpc;
mod start;

pub use rpc::ImageEncoder;
