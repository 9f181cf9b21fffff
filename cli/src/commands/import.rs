//! `unclip import`.

use std::path::PathBuf;

use crate::import::import;
use crate::output::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A checkpoint in diffusers' layout with safetensors weights, as Karlo's
    #[arg(value_name = "DIR")]
    checkpoint: PathBuf,
    /// Where to lay the bundle. Absent: what serving adds is written into the checkpoint's own directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = args.output.as_ref().unwrap_or(&args.checkpoint);
    let imported = import(&args.checkpoint, args.output.as_deref())?;
    for warning in &imported.warnings {
        say(&format!("note: {warning}"));
    }
    say(&format!("imported {}", root.display()));
    say(&format!("  CLIP space     {}", imported.manifest.space.0));
    for (stage, fingerprint) in &imported.manifest.stages {
        say(&format!("  {stage:<14} {fingerprint}"));
    }
    Ok(())
}
