//! The `unclip` command.

mod bars;
mod basis;
mod commands;
mod connection;
mod drawing;
mod eval;
mod import;
mod inputs;
mod latents;
mod local;
mod output;
mod tensors;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use unclip_service::{exit, parse, settle_environment};

use self::connection::Refused;
use self::output::end_between_files;

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
    /// Sample image embeddings of a caption, and draw nothing
    Prior(Box<commands::prior::Args>),
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
    settle_environment();
    let result = run(parse::<Args>().command);
    let is_servers_fault = result.as_ref().is_err_and(is_servers_fault);
    match exit(result) {
        _ if is_servers_fault => ExitCode::from(SERVERS_FAULT),
        code => code,
    }
}

/// The exit code where the server failed; where the request is at fault it is 1, and 2 where its words are.
const SERVERS_FAULT: u8 = 3;

fn is_servers_fault(error: &anyhow::Error) -> bool {
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<Refused>());
    refused.is_some_and(Refused::is_servers_fault)
}

fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Generate(args) => ask(Box::pin(commands::generate::run(*args))),
        Command::Prior(args) => ask(Box::pin(commands::prior::run(*args))),
        Command::Encode(args) => ask(Box::pin(commands::encode::run(*args))),
        Command::Vary(args) => ask(Box::pin(commands::vary::run(*args))),
        Command::Invert(args) => ask(Box::pin(commands::invert::run(*args))),
        Command::Interpolate(args) => ask(Box::pin(commands::interpolate::run(*args))),
        Command::Mix(args) => ask(Box::pin(commands::mix::run(*args))),
        Command::Basis(args) => ask(Box::pin(commands::basis::run(*args))),
        Command::Reconstruct(args) => ask(Box::pin(commands::reconstruct::run(*args))),
        Command::Replay(args) => ask(Box::pin(commands::replay::run(*args))),
        Command::Diff(args) => ask(Box::pin(commands::diff::run(*args))),
        Command::Edit(args) => ask(Box::pin(commands::edit::run(*args))),
        Command::Classify(args) => ask(Box::pin(commands::classify::run(*args))),
        Command::Serve(args) => serve(Box::pin(commands::serve::run(*args))),
        Command::Eval(args) => ask(Box::pin(eval::run(*args))),
        Command::Import(args) => {
            end_between_files()?;
            commands::import::run(&args)
        }
        Command::Train(args) => commands::train::run(*args),
    }
}

/// Runs a command that asks something and writes files.
fn ask(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    end_between_files()?;
    serve(command)
}

/// Runs a command that needs an async runtime.
fn serve(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_is_well_formed() {
        Args::command().debug_assert();
    }
}
