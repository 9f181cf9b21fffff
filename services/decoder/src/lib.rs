//! Decoder service: CLIP image embeddings to small pictures (paper, section 2.1).

mod denoiser;
mod rpc;
mod start;

pub use rpc::Decoder;
