//! The `unclip` command.

mod bars;
mod basis;
mod commands;
mod connection;
mod drawing;
mod eval;
mod import;
mod latents;
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
    /// Encode a picture or a text to a CLIP embedding
    Encode(Box<commands::encode::Args>),
    /// Draw variations of a picture
    Vary(Box<commands::vary::Args>),
    /// Find a picture's latents: its embedding and its noise
    Invert(Box<commands::invert::Args>),
    /// Draw frames between two pictures, captions or latents
    Interpolate(Box<commands::interpolate::Args>),
    /// Draw a weighted mix of pictures, captions or latents
    Mix(Box<commands::mix::Args>),
    /// Draw a picture on its way from one caption to another
    Diff(Box<commands::diff::Args>),
    /// Find the principal components of pictures' embeddings
    Basis(Box<commands::basis::Args>),
    /// Draw what the first principal components keep of a picture
    Reconstruct(Box<commands::reconstruct::Args>),
    /// Repaint the transparent part of a picture after a caption
    Edit(Box<commands::edit::Args>),
    /// Say which label fits a picture
    Classify(Box<commands::classify::Args>),
    /// Draw a picture again from its receipt
    Replay(Box<commands::replay::Args>),
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
        Command::Encode(args) => serve(Box::pin(commands::encode::run(*args))),
        Command::Vary(args) => serve(Box::pin(commands::vary::run(*args))),
        Command::Invert(args) => serve(Box::pin(commands::invert::run(*args))),
        Command::Interpolate(args) => serve(Box::pin(commands::interpolate::run(*args))),
        Command::Mix(args) => serve(Box::pin(commands::mix::run(*args))),
        Command::Basis(args) => serve(Box::pin(commands::basis::run(*args))),
        Command::Reconstruct(args) => serve(Box::pin(commands::reconstruct::run(*args))),
        Command::Replay(args) => serve(Box::pin(commands::replay::run(*args))),
        Command::Diff(args) => serve(Box::pin(commands::diff::run(*args))),
        Command::Edit(args) => serve(Box::pin(commands::edit::run(*args))),
        Command::Classify(args) => serve(Box::pin(commands::classify::run(*args))),
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
