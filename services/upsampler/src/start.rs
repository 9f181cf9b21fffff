//! Loading the upsampler.

use anyhow::Context as _;
use unclip_bundle::config::UNet2DConfig;
use unclip_bundle::{Bundle, Component, Manifest};
use unclip_diffusion::SchedulerConfig;
use unclip_engine::{ComputePermit, DenoiseError, Engine};
use unclip_models::{Placement, UpsamplerModel, set_threads};
use unclip_stage::{BundleArgs, DeviceArgs, EngineArgs, StageInfo};

use crate::Upsampler;
use crate::denoiser::UpsamplerDenoiser;

impl Upsampler {
    /// Loads the upsampler onto its device. `permit` is shared with whatever else computes there.
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
        let scheduler: SchedulerConfig = files.json(Component::SuperResScheduler, "scheduler_config.json")?;
        let info = info(&files, &manifest, placement)?;
        let threads = bundle.threads();
        let build = move || {
            set_threads(threads);
            UpsamplerModel::load(&files, placement).map(UpsamplerDenoiser).map_err(DenoiseError::model)
        };
        let engine = Engine::start(engine.config("upsampler", permit), build)
            .await
            .context("starting the upsampler")?;
        Ok(Self::new(engine, info, scheduler))
    }
}

fn info(bundle: &Bundle, manifest: &Manifest, placement: Placement) -> anyhow::Result<StageInfo> {
    let unet: UNet2DConfig = bundle.config(Component::SuperResFirst)?;
    let [height, width] = unet.trunk.sides();
    let mut info = StageInfo::new("upsampler", bundle, manifest)?
        .on(placement.device_name(), placement.dtype_name())
        .pictures(height, width);
    info.model.space.clear();
    Ok(info)
}
