//! All stages and the gateway in this process: the service crates with other wiring.

use unclip_bundle::{Bundle, Stage};
use unclip_decoder::Decoder;
use unclip_engine::ComputePermit;
use unclip_gateway::{CacheArgs, Gateway, HttpArgs, RequestArgs, Stages};
use unclip_image_encoder::ImageEncoder;
use unclip_prior::Prior;
use unclip_service::{PictureArgs, Services, in_process};
use unclip_stage::{NetworkArgs, OnnxRuntimeArgs};
use unclip_text_encoder::TextEncoder;
use unclip_upsampler::Upsampler;

/// What the stages need.
#[derive(Debug, clap::Args)]
pub(crate) struct LocalArgs {
    #[command(flatten)]
    pub(crate) network: NetworkArgs,
    #[command(flatten)]
    pub(crate) onnxruntime: OnnxRuntimeArgs,
    #[command(flatten)]
    pub(crate) cache: CacheArgs,
    #[command(flatten)]
    pub(crate) requests: RequestArgs,
    #[command(flatten)]
    pub(crate) http: HttpArgs,
    #[command(flatten)]
    pub(crate) pictures: PictureArgs,
}

/// Loads every stage that the bundle has. They share one compute permit, so that their steps take turns on the machine.
pub(crate) async fn services(args: &LocalArgs) -> anyhow::Result<Services> {
    let permit = ComputePermit::new();
    let LocalArgs { network, onnxruntime, cache, requests, http, pictures } = args;
    let pool = pictures.pool();
    let bundle = &network.bundle;
    let parts = Bundle::open(&bundle.bundle)?;
    let text_encoder = TextEncoder::start(bundle, onnxruntime.path(), permit.clone()).await?.into_service();
    let to_text_encoder = in_process(Services::new().with(text_encoder.clone()));
    let decoder = Decoder::start(network, permit.clone()).await?.into_service();
    let upsampler = Upsampler::start(network, permit.clone()).await?.into_service();
    let mut stages = Stages::new(
        to_text_encoder.clone(),
        in_process(Services::new().with(decoder.clone())),
        in_process(Services::new().with(upsampler.clone())),
    );
    let mut services = Services::new().with(text_encoder).with(decoder).with(upsampler);
    if parts.has_stage(Stage::Prior) {
        let prior = Prior::start(network, permit.clone(), Some(to_text_encoder)).await?.into_service();
        stages = stages.with_prior(in_process(Services::new().with(prior.clone())));
        services = services.with(prior);
    }
    if parts.has_stage(Stage::ImageEncoder) {
        let image_encoder = ImageEncoder::start(bundle, onnxruntime.path(), permit, pool.clone()).await?;
        let image_encoder = image_encoder.into_service();
        stages = stages.with_image_encoder(in_process(Services::new().with(image_encoder.clone())));
        services = services.with(image_encoder);
    }
    report_missing(&parts);
    Ok(Gateway::new(stages, cache.config(), requests, pool)?.add_to(services, http)?)
}

/// Says what this bundle can't do, and what to do about it.
fn report_missing(bundle: &Bundle) {
    for stage in Stage::ALL {
        if let Err(error) = bundle.require(stage) {
            tracing::info!(%error, "serving without the {}", stage.name());
        }
    }
}
