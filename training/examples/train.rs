//! The trainers without the rest of the `unclip` command, for a machine where only this binary travels.

use clap::Parser;
use unclip_training::commands::{TrainCommand, run};

/// Train CLIP, the prior, the decoder and the upsampler.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: TrainCommand,
}

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    run(Arguments::parse().command)
}
