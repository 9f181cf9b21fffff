//! Loading the prior.

use anyhow::Context as _;
use unclip_bundle::config::PriorConfig;
use unclip_bundle::{Bundle, Component, Stage};
use unclip_engine::{ComputePermit, DenoiseError};
use unclip_models::{EmbeddingStatistics, Placement, PriorModel, set_threads};
use unclip_proto::SamplingDefaults;
use unclip_service::Transport;
use unclip_stage::{DiffusionSpec, DiffusionStage, NetworkArgs, StageInfo, defaults};

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
        args: &NetworkArgs,
        permit: ComputePermit,
        text_encoder: Option<Transport>,
    ) -> anyhow::Result<Self> {
        let (bundle, opened) = args.bundle.open(Stage::Prior)?;
        let placement = Placement::parse(&args.device.device, &args.device.dtype)?;
        let spec = DiffusionSpec {
            name: "prior",
            info: info(opened, &bundle, placement)?,
            scheduler: bundle.json(Component::PriorScheduler, "scheduler_config.json")?,
            defaults: defaults(bundle.sampling().prior, SamplingDefaults::PRIOR),
        };
        let statistics = EmbeddingStatistics::load(&bundle)?;
        let threads = args.bundle.threads();
        let build = move || {
            set_threads(threads);
            PriorModel::load(&bundle, placement).map(PriorDenoiser).map_err(DenoiseError::model)
        };
        let stage = DiffusionStage::start(spec, &args.engine, permit, build).await;
        let stage = stage.context("starting the prior")?;
        Ok(Self::new(Shared { stage, statistics, captions: Captions::new(text_encoder) }))
    }
}

fn info(opened: StageInfo, bundle: &Bundle, placement: Placement) -> anyhow::Result<StageInfo> {
    let config: PriorConfig = bundle.config(Component::Prior)?;
    let info = opened
        .on(placement.device_name(), placement.dtype_name())
        .embeddings(config.embedding_dim)
        .texts(config.num_embeddings, config.embedding_dim);
    Ok(info)
}
