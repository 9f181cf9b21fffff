//! Loading the upsampler.

use anyhow::Context as _;
use unclip_bundle::config::upsampler_sides;
use unclip_bundle::{Bundle, Component, Stage};
use unclip_engine::{ComputePermit, DenoiseError};
use unclip_models::{Placement, UpsamplerModel, set_threads};
use unclip_proto::SamplingDefaults;
use unclip_stage::{DiffusionSpec, DiffusionStage, NetworkArgs, StageInfo, defaults};

use crate::Upsampler;
use crate::denoiser::UpsamplerDenoiser;

impl Upsampler {
    /// Loads the upsampler onto its device. `permit` is shared with whatever else computes there.
    ///
    /// # Errors
    /// A bundle that is incomplete or not imported, or a device or dtype that is not to be had.
    pub async fn start(args: &NetworkArgs, permit: ComputePermit) -> anyhow::Result<Self> {
        let (bundle, opened) = args.bundle.open(Stage::Upsampler)?;
        let placement = Placement::parse(&args.device.device, &args.device.dtype)?;
        let spec = DiffusionSpec {
            name: "upsampler",
            info: info(opened, &bundle, placement)?,
            scheduler: bundle.json(Component::SuperResScheduler, "scheduler_config.json")?,
            defaults: defaults(bundle.sampling().upsampler, SamplingDefaults::UPSAMPLER),
        };
        let threads = args.bundle.threads();
        let build = move || {
            set_threads(threads);
            UpsamplerModel::load(&bundle, placement).map(UpsamplerDenoiser).map_err(DenoiseError::model)
        };
        let stage = DiffusionStage::start(spec, &args.engine, permit, build).await;
        Ok(Self::new(stage.context("starting the upsampler")?))
    }
}

fn info(opened: StageInfo, bundle: &Bundle, placement: Placement) -> anyhow::Result<StageInfo> {
    let [height, width] = upsampler_sides(bundle)?;
    let mut info = opened.on(placement.device_name(), placement.dtype_name()).pictures(height, width);
    info.model.space.clear();
    Ok(info)
}
