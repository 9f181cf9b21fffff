//! Flags of a stage.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use unclip_bundle::{Bundle, BundleError, Manifest, Stage};
use unclip_engine::{ComputePermit, EngineConfig};

use crate::StageInfo;

/// Which model, and how many threads.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Model")]
pub struct BundleArgs {
    /// Directory of an imported bundle (see `unclip import`)
    #[arg(long, env = "UNCLIP_BUNDLE", value_name = "DIR")]
    pub bundle: PathBuf,
    /// Threads of one operation on the CPU. Absent: one per core
    #[arg(long, env = "UNCLIP_THREADS", value_name = "N")]
    pub threads: Option<NonZeroUsize>,
}

impl BundleArgs {
    /// Opens the bundle for a stage, with what the stage can say of itself so far: that its files are still those which
    /// `unclip import` found good.
    ///
    /// # Errors
    /// No bundle, one without the stage, or one that has not been imported or has changed since.
    pub fn open(&self, stage: Stage) -> Result<(Bundle, StageInfo), BundleError> {
        let bundle = Bundle::open(&self.bundle)?;
        bundle.require(stage)?;
        let manifest = Manifest::read(&self.bundle)?;
        let bundle = bundle.with_variant(manifest.variant.clone());
        let info = StageInfo::new(stage, manifest.verified(&bundle, stage)?, &manifest.space);
        Ok((bundle, info))
    }

    /// Threads of one operation.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism();
        self.threads.or(cores.ok()).map_or(1, NonZeroUsize::get)
    }
}

/// Where a network computes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Device: auto (the first GPU, else the CPU), cpu or cuda:N
    #[arg(long, env = "UNCLIP_DEVICE", value_parser = device, default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// What networks compute in: auto (bf16 where the device is fast at it, else f32), f32, bf16 or, on a GPU, f16.
    /// Samplers compute in f32 always
    #[arg(long, env = "UNCLIP_DTYPE", value_parser = ["auto", "f32", "bf16", "f16"], hide_possible_values = true, default_value = "auto", value_name = "DTYPE")]
    pub dtype: String,
}

/// Refuses what names no device. Whether it is there is for the network to find out.
fn device(text: &str) -> Result<String, String> {
    let index = text.strip_prefix("cuda:").map(str::parse::<u32>);
    match text {
        "auto" | "cpu" | "cuda" => Ok(text.to_owned()),
        _ if index.is_some_and(|index| index.is_ok()) => Ok(text.to_owned()),
        _ => Err("supported are auto, cpu and cuda:N".to_owned()),
    }
}

/// Limits of a stage's engine.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Engine")]
pub struct EngineArgs {
    /// The most samples in one forward pass of the network; a guided sample counts as two
    #[arg(long, env = "UNCLIP_MAX_BATCH", default_value = "16", value_name = "N")]
    pub max_batch: NonZeroUsize,
    /// The most samples under way at a time; they take turns in the forward passes
    #[arg(long, env = "UNCLIP_MAX_ACTIVE", default_value = "64", value_name = "N")]
    pub max_active: NonZeroUsize,
    /// The most samples that wait; beyond that requests are refused with RESOURCE_EXHAUSTED
    #[arg(long, env = "UNCLIP_MAX_QUEUE", default_value = "256", value_name = "N")]
    pub max_queue: NonZeroUsize,
    /// Whether a sample has the same bits whoever shares its forward passes. Where a device's kernels round by the number of
    /// samples in a pass, requests then have passes of their own
    #[arg(long, env = "UNCLIP_BATCH_INVARIANT", value_enum, default_value_t, value_name = "WHEN")]
    pub batch_invariant: BatchInvariant,
}

/// When a sample must have the same bits whoever shares its forward passes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum BatchInvariant {
    /// On the CPU, where it costs little
    #[default]
    Auto,
    /// Always
    On,
    /// Never
    Off,
}

impl BatchInvariant {
    /// Whether it holds on a device, `cpu` or `cuda:N`.
    fn on(self, device: &str) -> bool {
        match self {
            Self::Auto => device == "cpu",
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl EngineArgs {
    /// The configuration of an engine on a device.
    pub fn config(&self, name: &str, device: &str, permit: ComputePermit) -> EngineConfig {
        EngineConfig {
            name: name.to_owned(),
            max_lanes: self.max_batch.get(),
            max_rows: self.max_active.get(),
            queue: self.max_queue.get(),
            permit,
            batch_invariant: self.batch_invariant.on(device),
        }
    }
}

/// Flags of a stage that runs a network on an engine.
#[derive(Clone, Debug, Args)]
pub struct NetworkArgs {
    /// Which model.
    #[command(flatten)]
    pub bundle: BundleArgs,
    /// Where it computes.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// The engine's limits.
    #[command(flatten)]
    pub engine: EngineArgs,
}

/// Where ONNX Runtime is.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct OnnxRuntimeArgs {
    /// Path of libonnxruntime.so. Absent: looked for beside the program and where `make setup` puts it
    #[arg(long, env = "UNCLIP_ONNXRUNTIME", value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
}

impl OnnxRuntimeArgs {
    /// The path, if one was given.
    pub fn path(&self) -> Option<&Path> {
        self.onnxruntime.as_deref()
    }
}
