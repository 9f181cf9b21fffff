//! Loading the decoder.

use anyhow::Context as _;
use unclip_bundle::config::{TextProjConfig, TokenizerConfig, UNet2DConditionConfig};
use unclip_bundle::{Bundle, Component, Manifest};
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
        let (bundle, manifest) = args.bundle.open()?;
        let placement = Placement::parse(&args.device.device, &args.device.dtype)?;
        let spec = DiffusionSpec {
            name: "decoder",
            info: info(&bundle, &manifest, placement)?,
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
