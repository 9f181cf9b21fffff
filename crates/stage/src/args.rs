//! Flags of a stage.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;
use unclip_bundle::{Bundle, BundleError, Manifest};
use unclip_engine::{ComputePermit, EngineConfig};

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
    /// Opens the bundle with what `unclip import` has written.
    ///
    /// # Errors
    /// No bundle, or one that has not been imported.
    pub fn open(&self) -> Result<(Bundle, Manifest), BundleError> {
        open(&self.bundle)
    }

    /// Threads of one operation.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism();
        self.threads.or(cores.ok()).map_or(1, NonZeroUsize::get)
    }
}

fn open(root: &Path) -> Result<(Bundle, Manifest), BundleError> {
    let bundle = Bundle::open(root)?;
    let manifest = Manifest::read(root)?;
    Ok((bundle, manifest))
}

/// Where a network computes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Device: auto (the first GPU, else the CPU), cpu or cuda:N
    #[arg(long, env = "UNCLIP_DEVICE", default_value = "auto", value_name = "DEVICE")]
    pub device: String,
    /// What networks compute in: auto (bf16 where the device is fast at it, else f32), f32, bf16 or, on a GPU, f16.
    /// Samplers compute in f32 always
    #[arg(long, env = "UNCLIP_DTYPE", default_value = "auto", value_name = "DTYPE")]
    pub dtype: String,
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
}

impl EngineArgs {
    /// The engine's configuration.
    pub fn config(&self, name: &str, permit: ComputePermit) -> EngineConfig {
        EngineConfig {
            name: name.to_owned(),
            max_lanes: self.max_batch.get(),
            max_rows: self.max_active.get(),
            queue: self.max_queue.get(),
            permit,
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
