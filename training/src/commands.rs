//! `unclip train data|clip|prior|decoder|upsampler|judge|export`: the arguments and what they run.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use unclip_models::{Placement, set_threads};

use crate::TrainError;
use crate::bundle::{ExportOptions, Precision, export};
use crate::clip::{ClipConfig, ClipTask, FrozenClip};
use crate::data::cli::DataArgs;
use crate::decoder::{DecoderConfig, DecoderTask};
use crate::judge::{JudgeConfig, JudgeTask};
use crate::prior::{PriorTask, PriorTrainingConfig};
use crate::run::{
    Cadence, CheckedConfig, Claim, DataConfig, Optimisation, Options, Outcome, RunInfo, Sources, Task,
    keep_pages, open, read_config, train,
};
use crate::upsampler::{UpsamplerConfig, UpsamplerTask};

/// What can be trained, and what puts the results together.
#[derive(Debug, Subcommand)]
pub enum TrainCommand {
    /// Build a data set from emoji sets, or from folders of images with captions
    Data(DataArgs),
    /// Train CLIP: the tokenizer and both towers
    Clip(TrainArgs),
    /// Train the prior; needs a trained CLIP
    Prior(TrainArgs),
    /// Train the decoder; needs a trained CLIP
    Decoder(TrainArgs),
    /// Train the upsampler; needs nothing else
    Upsampler(TrainArgs),
    /// Train the judge, which evaluations score pictures with; needs nothing else
    Judge(TrainArgs),
    /// Put the trained parts together as a bundle
    Export(ExportArgs),
}

/// Arguments of a trainer.
#[derive(Clone, Debug, Args)]
pub struct TrainArgs {
    /// The training's configuration, as in training/configs
    #[arg(long)]
    pub config: PathBuf,
    /// The training's folder: checkpoints, metrics, pictures, trained parts
    #[arg(long)]
    pub run: PathBuf,
    /// The data set, instead of the configuration's
    #[arg(long)]
    pub store: Option<PathBuf>,
    /// The bundle with the trained CLIP, instead of the configuration's
    #[arg(long)]
    pub clip: Option<PathBuf>,
    /// A bundle to start from instead of from noise, to fine-tune its networks; they must have the configuration's shape
    #[arg(long, value_name = "BUNDLE")]
    pub init: Option<PathBuf>,
    /// Steps of the whole training, instead of the configuration's
    #[arg(long)]
    pub steps: Option<u64>,
    /// Minutes of the whole training, instead of the configuration's: the learning rate falls to zero within them
    #[arg(long, value_name = "MINUTES")]
    pub within: Option<f64>,
    /// Stop after so many minutes, with a checkpoint
    #[arg(long)]
    pub minutes: Option<f64>,
    /// Go on from the folder's newest checkpoint, if there is one
    #[arg(long)]
    pub resume: bool,
    /// auto, cpu, cuda or cuda:N
    #[arg(long, default_value = "auto")]
    pub device: String,
    /// auto, f32 or bf16: what the networks compute in; the optimiser works in f32
    #[arg(long, default_value = "auto")]
    pub dtype: String,
    /// Threads of one operation on the CPU; by default all
    #[arg(long)]
    pub threads: Option<usize>,
    /// Threads that make batches
    #[arg(long, default_value_t = 1)]
    pub workers: usize,
}

/// Arguments of the export.
#[derive(Clone, Debug, Args)]
pub struct ExportArgs {
    /// The trainings' folders; each adds the parts it trained
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// The bundle's folder
    #[arg(long, short)]
    pub output: PathBuf,
    /// dtype of the weights
    #[arg(long, value_enum, default_value_t)]
    pub dtype: Precision,
}

/// Runs a command. Call it before other threads start: it sets the allocator.
///
/// # Errors
/// Whatever the trainer or the export refuses.
pub fn run(command: TrainCommand) -> anyhow::Result<()> {
    keep_pages(command.workers());
    match command {
        TrainCommand::Data(args) => crate::data::cli::run(&args)?,
        TrainCommand::Clip(args) => report("clip", train_clip(&args)?),
        TrainCommand::Prior(args) => report("prior", train_prior(&args)?),
        TrainCommand::Decoder(args) => report("decoder", train_decoder(&args)?),
        TrainCommand::Upsampler(args) => report("upsampler", train_upsampler(&args)?),
        TrainCommand::Judge(args) => report("judge", train_judge(&args)?),
        TrainCommand::Export(args) => run_export(args)?,
    }
    Ok(())
}

impl TrainCommand {
    /// Threads that make batches.
    fn workers(&self) -> usize {
        match self {
            Self::Clip(args)
            | Self::Prior(args)
            | Self::Decoder(args)
            | Self::Upsampler(args)
            | Self::Judge(args) => args.workers,
            Self::Data(_) | Self::Export(_) => 1,
        }
    }
}

fn report(stage: &str, outcome: Outcome) {
    let Outcome { step, finished, loss, rate } = outcome;
    let state = if finished { "finished" } else { "stopped; go on with --resume" };
    tracing::info!(stage, step, loss, pictures_per_second = rate, "{state}");
}

fn run_export(args: ExportArgs) -> Result<(), TrainError> {
    let options = ExportOptions { runs: args.runs, output: args.output, precision: args.dtype };
    let missing = export(&options)?;
    let output = options.output.display();
    if missing.is_empty() {
        tracing::info!("{output} is complete; `unclip import {output}` prepares it for serving");
    } else {
        let names: Vec<_> = missing.iter().map(|component| component.folder()).collect();
        tracing::warn!("{output} still lacks {}; train them and export again", names.join(", "));
    }
    Ok(())
}

impl TrainArgs {
    fn read<C: CheckedConfig>(&self) -> Result<C, TrainError> {
        read_config(&self.config)
    }

    fn sources(&self, data: &DataConfig, side: usize) -> Result<Sources, TrainError> {
        let store = self.store.clone().unwrap_or_else(|| data.store.clone());
        open(&DataConfig { store, ..data.clone() }, side)
    }

    fn placement(&self) -> Result<Placement, TrainError> {
        if let Some(threads) = self.threads {
            set_threads(threads);
        }
        Ok(Placement::parse(&self.device, &self.dtype)?)
    }

    /// The run's folder for this trainer, once the data and CLIP are known to be there.
    fn claim(&self, info: RunInfo) -> Result<Claim, TrainError> {
        Claim::new(&self.run, info, self.resume)
    }

    fn clip(&self, configured: &PathBuf) -> Result<FrozenClip, TrainError> {
        FrozenClip::open(self.clip.as_ref().unwrap_or(configured))
    }

    fn go<T: Task>(
        &self,
        task: &T,
        seed: u64,
        claim: &Claim,
        optimisation: &Optimisation,
        cadence: &Cadence,
        placement: Placement,
    ) -> Result<Outcome, TrainError> {
        let limit = self.minutes.map(|minutes| Duration::try_from_secs_f64(minutes * 60.0));
        let limit = limit
            .transpose()
            .map_err(|error| TrainError::Config { path: "--minutes".into(), reason: error.to_string() })?;
        let options =
            Options { placement, limit, stop_at: None, init: self.init.clone(), workers: self.workers };
        let steps = self.steps.unwrap_or(optimisation.steps).max(1);
        let minutes = self.within.or(optimisation.minutes);
        if minutes.is_some_and(|minutes| !(minutes.is_finite() && minutes > 0.0)) {
            let reason = format!("{minutes:?}; give a positive number of minutes", minutes = self.within);
            return Err(TrainError::Config { path: "--within".into(), reason });
        }
        train(task, seed, claim, &Optimisation { steps, minutes, ..optimisation.clone() }, cadence, &options)
    }
}

fn train_clip(args: &TrainArgs) -> Result<Outcome, TrainError> {
    let config: ClipConfig = args.read()?;
    let placement = args.placement()?;
    let (train, held_out) = args.sources(&config.data, config.vision.side)?;
    let claim = args.claim(RunInfo::of("clip"))?;
    if let (Some(bundle), None) = (&args.init, claim.checkpoint()) {
        claim.folder().take_tokenizer(bundle)?;
    }
    let task = ClipTask::new(config.clone(), train, held_out, claim.folder(), placement)?;
    args.go(&task, config.seed, &claim, &config.optimisation, &config.cadence, placement)
}

fn train_prior(args: &TrainArgs) -> Result<Outcome, TrainError> {
    let config: PriorTrainingConfig = args.read()?;
    let placement = args.placement()?;
    let clip = args.clip(&config.clip)?;
    let (train, held_out) = args.sources(&config.data, clip.side())?;
    let own = Some(clip.fingerprint().to_owned());
    let claim = args.claim(RunInfo { clip: own, ..RunInfo::of("prior") })?;
    let task = PriorTask::new(config.clone(), clip, train, held_out, claim.folder(), placement)?;
    args.go(&task, config.seed, &claim, &config.optimisation, &config.cadence, placement)
}

fn train_decoder(args: &TrainArgs) -> Result<Outcome, TrainError> {
    let config: DecoderConfig = args.read()?;
    let placement = args.placement()?;
    let clip = args.clip(&config.clip)?;
    let (train, held_out) = args.sources(&config.data, clip.side().max(config.unet.side))?;
    let (own, draws) = (Some(clip.fingerprint().to_owned()), Some(config.unet.side));
    let claim = args.claim(RunInfo { clip: own, draws, ..RunInfo::of("decoder") })?;
    let task = DecoderTask::new(config.clone(), clip, train, held_out, claim.folder(), placement)?;
    args.go(&task, config.seed, &claim, &config.optimisation, &config.cadence, placement)
}

fn train_upsampler(args: &TrainArgs) -> Result<Outcome, TrainError> {
    let config: UpsamplerConfig = args.read()?;
    let placement = args.placement()?;
    let (train, held_out) = args.sources(&config.data, config.unet.side)?;
    let (takes, draws) = (Some(config.small_side), Some(config.unet.side));
    let claim = args.claim(RunInfo { takes, draws, ..RunInfo::of("upsampler") })?;
    let task = UpsamplerTask::new(config.clone(), train, held_out, claim.folder(), placement)?;
    args.go(&task, config.seed, &claim, &config.optimisation, &config.cadence, placement)
}

fn train_judge(args: &TrainArgs) -> Result<Outcome, TrainError> {
    let config: JudgeConfig = args.read()?;
    let placement = args.placement()?;
    let (train, held_out) = args.sources(&config.data, config.picture.side)?;
    let claim = args.claim(RunInfo::of("judge"))?;
    let task = JudgeTask::new(config.clone(), train, held_out, claim.folder(), placement)?;
    args.go(&task, config.seed, &claim, &config.optimisation, &config.cadence, placement)
}
