//! What the end-to-end tests share: imported fixtures, servers as real processes, a real Redis, goldens and measures.
//!
//! Every test runs the programs of the profile it was built in, offline and on ports that the operating system chooses.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a panic in a test is the report"
)]

mod balancer;
mod bundle;
mod checkpoint;
mod client;
mod cluster;
mod command;
mod golden;
mod http;
mod http_json;
mod inputs;
pub mod latents;
mod measure;
mod metrics;
mod node;
mod process;
mod programs;
mod redis;
mod styles;
mod toolbox;
mod wait;

pub use balancer::Balancer;
pub use bundle::{Bundle, copy_folder, fixture, scratch};
pub use checkpoint::{Checkpoint, hub_cache};
pub use client::{
    Bare, Generation, StageRun, bare, decode, encode_image, encode_text, generate, invert, sample_prior,
    upsample, with_timeout,
};
pub use cluster::{Cluster, Local};
pub use command::{Run, command_in, pipe, run_in, run_with};
pub use golden::{Array, Case, Golden, Variation, goldens, variations};
pub use http::{Answer, Part, form, head, send, send_raw};
pub use http_json::{HttpAnswer, HttpStream, json_call, json_stream};
pub use inputs::{Inputs, MANY};
pub use measure::{assert_close, assert_same_pictures, compare, values};
pub use metrics::Metrics;
pub use node::node;
pub use process::{CPU, MAX_MESSAGE_BYTES, Server, send_signal};
pub use programs::{PROGRAMS, program, repository};
pub use redis::Redis;
pub use styles::draw_style;
pub use toolbox::{
    assert_refused, diff, edit, gateway_client, gradient, interpolate, invert_image, png_file, reconstruct,
    vary,
};
pub use wait::{PATIENCE, wait_for};
