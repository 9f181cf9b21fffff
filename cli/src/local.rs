//! All stages and the gateway in this process: the service crates with other wiring.

use unclip_bundle::Component;
use unclip_decoder::Decoder;
use unclip_engine::ComputePermit;
use unclip_gateway::{CacheArgs, Gateway, HttpArgs, Stages};
use unclip_image_encoder::ImageEncoder;
use unclip_prior::Prior;
use unclip_service::{Services, in_process};
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
    pub(crate) http: HttpArgs,
}

/// Loads every stage that the bundle has. They share one compute permit, so that their steps take turns on the machine.
pub(crate) async fn services(args: &LocalArgs) -> anyhow::Result<Services> {
    let permit = ComputePermit::new();
    let LocalArgs { network, onnxruntime, cache, http } = args;
    let bundle = &network.bundle;
    let text_encoder = TextEncoder::start(bundle, onnxruntime.path(), permit.clone()).await?.into_service();
    let to_text_encoder = in_process(Services::new().with(text_encoder.clone()));
    let prior = Prior::start(network, permit.clone(), Some(to_text_encoder.clone())).await?;
    let prior = prior.into_service();
    let decoder = Decoder::start(network, permit.clone()).await?.into_service();
    let upsampler = Upsampler::start(network, permit.clone()).await?.into_service();
    let stages = Stages::new(
        to_text_encoder,
        in_process(Services::new().with(prior.clone())),
        in_process(Services::new().with(decoder.clone())),
        in_process(Services::new().with(upsampler.clone())),
    );
    let services = Services::new().with(text_encoder).with(prior).with(decoder).with(upsampler);
    if !bundle.open()?.0.has(Component::ImageEncoder) {
        return Ok(Gateway::new(stages, cache.config())?.add_to(services, http)?);
    }
    let image_encoder = ImageEncoder::start(bundle, onnxruntime.path(), permit).await?.into_service();
    let stages = stages.with_image_encoder(in_process(Services::new().with(image_encoder.clone())));
    Ok(Gateway::new(stages, cache.config())?.add_to(services.with(image_encoder), http)?)
}
