//! Loading the decoder.

use anyhow::Context as _;
use unclip_bundle::config::{TextProjConfig, TokenizerConfig, UNet2DConditionConfig};
use unclip_bundle::{Bundle, Component, Stage};
use unclip_engine::{ComputePermit, DenoiseError};
use unclip_models::{DecoderModel, Placement, set_threads};
use unclip_proto::SamplingDefaults;
use unclip_stage::{DiffusionSpec, DiffusionStage, NetworkArgs, StageInfo, defaults};

use crate::Decoder;
use crate::denoiser::DecoderDenoiser;

impl Decoder {
    /// Loads the decoder onto its device. `permit` is shared with whatever else computes there.
    ///
    /// # Errors
    /// A bundle that is incomplete or not imported, or a device or dtype that is not to be had.
    pub async fn start(args: &NetworkArgs, permit: ComputePermit) -> anyhow::Result<Self> {
        let (bundle, opened) = args.bundle.open(Stage::Decoder)?;
        let placement = Placement::parse(&args.device.device, &args.device.dtype)?;
        let spec = DiffusionSpec {
            name: "decoder",
            info: info(opened, &bundle, placement)?,
            scheduler: bundle.json(Component::DecoderScheduler, "scheduler_config.json")?,
            defaults: defaults(bundle.sampling().decoder, SamplingDefaults::DECODER),
        };
        let threads = args.bundle.threads();
        let build = move || {
            set_threads(threads);
            DecoderModel::load(&bundle, placement).map(DecoderDenoiser).map_err(DenoiseError::model)
        };
        let stage = DiffusionStage::start(spec, &args.engine, permit, build).await;
        Ok(Self::new(stage.context("starting the decoder")?))
    }
}

fn info(opened: StageInfo, bundle: &Bundle, placement: Placement) -> anyhow::Result<StageInfo> {
    let text_proj: TextProjConfig = bundle.config(Component::TextProj)?;
    let tokenizer: TokenizerConfig = bundle.config(Component::Tokenizer)?;
    let unet: UNet2DConditionConfig = bundle.config(Component::Decoder)?;
    let [height, width] = unet.sides;
    let info = opened
        .on(placement.device_name(), placement.dtype_name())
        .embeddings(text_proj.clip_embeddings_dim)
        .texts(tokenizer.model_max_length, text_proj.clip_embeddings_dim)
        .pictures(height, width);
    Ok(info)
}
