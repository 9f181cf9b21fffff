//! `unclip eval`: what a bundle draws, measured. Pictures come out of the pipeline that serves; a judge that shares nothing
//! with the bundle's CLIP looks at them.

mod bench;
mod captions;
mod colour;
mod distance;
mod inversion;
mod picture;
mod pipeline;
mod prior;
mod report;
mod sheets;
mod upsampler;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use unclip_service::TelemetryArgs;
use unclip_stage::{DeviceArgs, EngineArgs, OnnxRuntimeArgs};

use self::bench::{Bench, shots};
use self::prior::Subject;
use self::report::Report;
use crate::output::say;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Directory of the bundle to measure
    #[arg(long, env = "UNCLIP_BUNDLE", value_name = "DIR")]
    bundle: PathBuf,
    /// Folder of a run of `unclip train judge`
    #[arg(long, value_name = "RUN")]
    judge: PathBuf,
    /// The data set that the bundle was trained on
    #[arg(long, value_name = "FILE")]
    store: PathBuf,
    /// The same pictures at the upsampler's size. Absent: the upsampler is not measured alone
    #[arg(long, value_name = "FILE")]
    store_large: Option<PathBuf>,
    /// Where report.json, report.md and sheets go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The concepts that the bundle was trained on, one a line. Absent: all
    #[arg(long, value_name = "FILE")]
    things: Option<PathBuf>,
    /// The styles that the bundle was trained on. Absent: all
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    styles: Vec<String>,
    /// A few pictures of each kind, to see that it runs
    #[arg(long)]
    quick: bool,
    /// Threads of one operation on the CPU. Absent: one per core
    #[arg(long, env = "UNCLIP_THREADS", value_name = "N")]
    threads: Option<NonZeroUsize>,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    engine: EngineArgs,
    #[command(flatten)]
    onnxruntime: OnnxRuntimeArgs,
    #[command(flatten)]
    telemetry: TelemetryArgs,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    args.telemetry.start("warn")?;
    let bench = Bench::open(&args).await?;
    let (drawn, captions) = captions::section(&bench).await?;
    let mut report = Report::new(&args.out, bench.facts(&args, &drawn)?);
    report.add(captions)?;
    report.add(colour::section(&bench).await?)?;
    report.add(distance::frechet(&bench, &drawn)?)?;
    report.add(distance::nearest(&bench, &drawn)?)?;
    let seen = bench.pipeline.draw("captions of the training", shots(&bench.seen)).await?;
    for subject in [
        Subject { name: "held-out captions", set: &bench.held_out, drawn: &drawn },
        Subject { name: "captions of the training", set: &bench.seen, drawn: &seen },
    ] {
        report.add(prior::modes(&bench, &subject).await?)?;
        report.add(prior::embeddings(&bench, &subject).await?)?;
        report.add(prior::candidates(&bench, &subject).await?)?;
    }
    if let Some(store) = &args.store_large {
        report.add(upsampler::section(&bench, &args, store, &drawn).await?)?;
    }
    report.add(inversion::section(&bench).await?)?;
    report.add(sheets::section(&bench).await?)?;
    say(&format!("{}", args.out.join("report.md").display()));
    Ok(())
}
