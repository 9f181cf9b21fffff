//! Tests of the networks on the fixture bundles.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests: a panic is the report, and what was measured is worth printing"
)]

mod check;
mod fixtures;
mod gradients;
mod networks;
mod rows;
