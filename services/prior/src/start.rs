//! Loading the prior.

use anyhow::Context as _;
use unclip_bundle::config::PriorConfig;
use unclip_bundle::{Bundle, Component, Manifest};
use unclip_diffusion::SchedulerConfig;
use unclip_engine::{ComputePermit, DenoiseError, Engine};
use unclip_models::{EmbeddingStatistics, Placement, PriorModel, set_threads};
use unclip_service::Transport;
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, StageInfo};

use crate::Prior;
use crate::captions::Captions;
use crate::denoiser::PriorDenoiser;
use crate::rpc::Shared;

impl Prior {
    /// Loads the prior onto its device. `permit` is shared with whatever else computes there. With a `text_encoder` it
    /// takes captions too.
    ///
    /// # Errors
    /// A bundle that is incomplete or not imported, or a device or dtype that is not to be had.
    pub async fn start(
        bundle: &BundleArgs,
        device: &DeviceArgs,
        engine: &EngineArgs,
        permit: ComputePermit,
        text_encoder: Option<Transport>,
    ) -> anyhow::Result<Self> {
        let (files, manifest) = bundle.open()?;
        let placement = Placement::parse(&device.device, &device.dtype)?;
        let scheduler: SchedulerConfig = files.json(Component::PriorScheduler, "scheduler_config.json")?;
        let info = info(&files, &manifest, placement)?;
        let statistics = EmbeddingStatistics::load(&files)?;
        let threads = bundle.threads();
        let build = move || {
            set_threads(threads);
            PriorModel::load(&files, placement).map(PriorDenoiser).map_err(DenoiseError::model)
        };
        let engine =
            Engine::start(engine.config("prior", permit), build).await.context("starting the prior")?;
        let captions = Captions::new(text_encoder);
        Ok(Self::new(Shared { engine, info, scheduler, statistics, captions }))
    }
}

fn info(bundle: &Bundle, manifest: &Manifest, placement: Placement) -> anyhow::Result<StageInfo> {
    let config: PriorConfig = bundle.config(Component::Prior)?;
    let info = StageInfo::new("prior", bundle, manifest)?
        .on(placement.device_name(), placement.dtype_name())
        .embeddings(config.embedding_dim)
        .texts(config.num_embeddings, config.embedding_dim);
    Ok(info)
}
