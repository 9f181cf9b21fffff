//! `unclip train` alone: a program that builds without the servers.
//!
//! ```text
//! OMP_WAIT_POLICY=PASSIVE train clip --config training/configs/cpu/clip.toml --run out/train/clip
//! ```

use clap::Parser;
use unclip_training::commands::{TrainCommand, run};

#[derive(Parser)]
struct Program {
    #[command(subcommand)]
    command: TrainCommand,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    run(Program::parse().command)
}
