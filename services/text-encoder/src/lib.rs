//! Text encoder service: captions to CLIP text embeddings.

mod rpc;
mod start;

pub use rpc::TextEncoder;
