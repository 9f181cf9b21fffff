//! Loading the decoder.

use anyhow::Context as _;
use unclip_bundle::config::{TextProjConfig, TokenizerConfig, UNet2DConditionConfig};
use unclip_bundle::{Bundle, Component, Manifest};
use unclip_diffusion::SchedulerConfig;
use unclip_engine::{ComputePermit, DenoiseError, Engine};
use unclip_models::{DecoderModel, Placement, set_threads};
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, StageInfo};

use crate::Decoder;
use crate::denoiser::DecoderDenoiser;

impl Decoder {
    /// Loads the decoder onto its device. `permit` is shared with whatever else computes there.
    ///
    /// # Errors
    /// A bundle that is incomplete or not imported, or a device or dtype that is not to be had.
    pub async fn start(
        bundle: &BundleArgs,
        device: &DeviceArgs,
        engine: &EngineArgs,
        permit: ComputePermit,
    ) -> anyhow::Result<Self> {
        let (files, manifest) = bundle.open()?;
        let placement = Placement::parse(&device.device, &device.dtype)?;
        let scheduler: SchedulerConfig = files.json(Component::DecoderScheduler, "scheduler_config.json")?;
        let info = info(&files, &manifest, placement)?;
        let threads = bundle.threads();
        let build = move || {
            set_threads(threads);
            DecoderModel::load(&files, placement).map(DecoderDenoiser).map_err(DenoiseError::model)
        };
        let engine =
            Engine::start(engine.config("decoder", permit), build).await.context("starting the decoder")?;
        Ok(Self::new(engine, info, scheduler))
    }
}

fn info(bundle: &Bundle, manifest: &Manifest, placement: Placement) -> anyhow::Result<StageInfo> {
    let text_proj: TextProjConfig = bundle.config(Component::TextProj)?;
    let tokenizer: TokenizerConfig = bundle.config(Component::Tokenizer)?;
    let unet: UNet2DConditionConfig = bundle.config(Component::Decoder)?;
    let [height, width] = unet.trunk.sides();
    let info = StageInfo::new("decoder", bundle, manifest)?
        .on(placement.device_name(), placement.dtype_name())
        .embeddings(text_proj.clip_embeddings_dim)
        .texts(tokenizer.model_max_length, text_proj.clip_embeddings_dim)
        .pictures(height, width);
    Ok(info)
}
