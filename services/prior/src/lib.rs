//! Prior service: CLIP text embeddings to CLIP image embeddings (paper, section 2.2).

mod captions;
mod denoiser;
mod items;
mod rpc;
mod run;
mod start;

pub use rpc::Prior;
