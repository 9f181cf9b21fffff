//! The gRPC contracts of unclip, package `unclip.v1`, and checked conversions to plain Rust types.
//!
//! The contracts are in `proto/unclip/v1/*.proto`; their comments are the reference.

mod error;
mod maker;
mod options;
mod receipt;
mod tensor;
mod text;

pub use error::FieldError;
pub use maker::Maker;
pub use options::{GUIDANCE_SCALE, STEPS, Sampling, SamplingDefaults};
pub use receipt::Redraw;
pub use tensor::{MAX_AXES, MAX_TENSOR_BYTES};
pub use text::{MAX_TEXT_CHARACTERS, PlainText, TextShape, check_text, required};

/// The generated code of package `unclip.v1`.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::semicolon_if_nothing_returned,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("unclip.v1");
}

/// The contracts as a `FileDescriptorSet`, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
