//! `unclip import`.

use std::path::PathBuf;

use crate::import::{Ability, import};
use crate::output::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A checkpoint in diffusers' layout with safetensors weights, as Karlo's; a model hub's snapshot is one
    #[arg(value_name = "DIR")]
    checkpoint: PathBuf,
    /// Where to lay the bundle. Absent: what serving adds is written into the checkpoint's own directory
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Weights to take where a part has several, as fp16 for model.fp16.safetensors. Absent: those without a variant in
    /// their name, or the only ones there are
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let root = args.output.as_ref().unwrap_or(&args.checkpoint);
    let imported = import(&args.checkpoint, args.output.as_deref(), args.variant.as_deref())?;
    for note in &imported.notes {
        say(&format!("note: {note}"));
    }
    say(&format!("imported {}", root.display()));
    say(&format!("  CLIP space     {}", imported.manifest.space.0));
    for (stage, record) in &imported.manifest.stages {
        say(&format!("  {stage:<14} {}", record.fingerprint));
    }
    say("good for");
    for Ability { name, missing } in &imported.abilities {
        let answer = missing.as_ref().map_or("yes".to_owned(), |missing| format!("no: {missing}"));
        say(&format!("  {name:<14} {answer}"));
    }
    Ok(())
}
