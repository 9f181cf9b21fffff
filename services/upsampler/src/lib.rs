//! Upsampler service: small pictures to larger ones (paper, section 2.1).

mod denoiser;
mod rpc;
mod start;

pub use rpc::Upsampler;
