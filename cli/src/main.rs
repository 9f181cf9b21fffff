//! The `unclip` command.

mod bars;
mod commands;
mod eval;
mod import;
mod local;
mod output;
mod tensors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use unclip_service::{exit, wait_passively};

/// unCLIP image generation: caption, CLIP text embedding, prior, CLIP image embedding, decoder, upsampler, picture.
#[derive(Debug, Parser)]
#[command(name = "unclip", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Draw pictures of a caption
    Generate(Box<commands::generate::Args>),
    /// Serve all stages and the gateway in one process
    Serve(Box<commands::serve::Args>),
    /// Measure what a bundle draws: retrieval, colours, distances, what prior and upsampler add, and sheets of pictures
    Eval(Box<eval::Args>),
    /// Check a checkpoint in diffusers' layout and prepare it for serving
    Import(commands::import::Args),
    /// Train models, on emoji or on your own pictures and captions
    Train(Box<commands::train::Args>),
}

fn main() -> ExitCode {
    wait_passively();
    exit(run(Args::parse().command))
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Generate(args) => serve(Box::pin(commands::generate::run(*args))),
        Command::Serve(args) => serve(Box::pin(commands::serve::run(*args))),
        Command::Eval(args) => serve(Box::pin(eval::run(*args))),
        Command::Import(args) => commands::import::run(&args),
        Command::Train(args) => commands::train::run(*args),
    }
}

/// Runs a command that needs an async runtime.
fn serve(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
