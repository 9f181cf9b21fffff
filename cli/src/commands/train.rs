//! `unclip train`.

use unclip_service::TelemetryArgs;
use unclip_training::commands::TrainCommand;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    telemetry: TelemetryArgs,
    #[command(subcommand)]
    command: TrainCommand,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    args.telemetry.start("info")?;
    unclip_training::commands::run(args.command)
}
