//! Placeholder until the service lands.
fn main() {}
