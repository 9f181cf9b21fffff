//! How well pictures come back from their latents (arXiv 2204.06125, section 3), and what eta does.

use anyhow::{Context as _, anyhow};
use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{
    DrawOptions, InversionOptions, InvertImageRequest, InvertedImage, Latent, ListModelsRequest, Sampler,
    SamplingOptions, VaryImageRequest, invert_image_response, vary_image_response,
};
use unclip_service::RequestContext;
use unclip_training::eval::Interval;

use super::bench::{Bench, SEED};
use super::picture::{Picture, unstack};
use super::pipeline::{floats, picture, refused};
use super::report::Section;

/// Pictures that go through all etas.
const VARIED: usize = 16;

/// Pictures on the sheet.
const SHOWN: usize = 24;

/// Steps each way.
const STEPS: u32 = 50;

/// Fixed-point refinements of a step.
const REFINEMENTS: [u32; 3] = [0, 1, 3];

const ETAS: [f32; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

/// Held-out pictures to latents and back.
pub(super) async fn section(bench: &Bench) -> anyhow::Result<Section> {
    let note = format!(
        "Real held-out pictures at the decoder's size, DDIM upwards and downwards with {STEPS} steps each, without guidance. Error: mean absolute difference as a share of the range. x_T: noise that the decoder was trained on has standard deviation 1. Sheet and etas: without refinements. Eta: distance of what DDIM draws of the same x_T from what it draws at eta 0 and the same guidance scale, 1 and the bundle's own."
    );
    let mut section = Section::new("Inversion", note);
    let pictures = unstack(&bench.unseen.pictures)?;
    let mut plain = None;
    for refinements in REFINEMENTS {
        let title = format!("inversion, {refinements} refinements");
        let found =
            bench.pipeline.each(&title, pictures.iter().collect(), |one| invert(bench, one, refinements));
        let found = found.await?;
        let errors: Vec<f64> = found.iter().map(|one| f64::from(one.round_trip_error)).collect();
        let name = format!("round-trip error, {refinements} refinements");
        section.interval(name, Interval::of_mean(SEED, &errors), errors.len());
        let deviations = found.iter().map(deviation).collect::<anyhow::Result<Vec<_>>>()?;
        let name = format!("standard deviation of x_T, {refinements} refinements");
        section.interval(name, Interval::of_mean(SEED, &deviations), deviations.len());
        plain.get_or_insert(found);
    }
    let inverted = plain.unwrap_or_default();
    let backs: Vec<Picture> =
        inverted.iter().map(|one| Picture::of_png(&one.reconstruction)).collect::<Result<_, _>>()?;
    let pairs = pictures.iter().zip(&backs).take(bench.limit(SHOWN));
    let cells = pairs.flat_map(|(truth, back)| [(truth, "picture".to_owned()), (back, "back".to_owned())]);
    section.sheet(bench.sheet("inversion", 8, 128, cells)?);
    for scale in [1.0, own_scale(bench).await?] {
        etas(bench, &mut section, &inverted, scale).await?;
    }
    Ok(section)
}

/// The decoder's guidance scale where a request leaves it open.
async fn own_scale(bench: &Bench) -> anyhow::Result<f32> {
    let models = bench.pipeline.gateway().list_models(ListModelsRequest {}).await.map_err(refused)?;
    let decoder = models.into_inner().models.into_iter().find(|model| model.stage == "decoder");
    let defaults = decoder.and_then(|model| model.sampling_defaults).context("no defaults of the decoder")?;
    defaults.guidance_scale.context("no guidance scale of the decoder")
}

async fn etas(
    bench: &Bench,
    section: &mut Section,
    inverted: &[InvertedImage],
    scale: f32,
) -> anyhow::Result<()> {
    let chosen: Vec<_> = inverted.iter().take(bench.limit(VARIED)).collect();
    let mut base: Vec<Picture> = Vec::new();
    for eta in [0.0].into_iter().chain(ETAS) {
        let title = format!("eta {eta}, scale {scale}");
        let drawn = bench.pipeline.each(&title, chosen.clone(), |one| redraw(bench, one, eta, scale)).await?;
        if base.is_empty() {
            base = drawn;
            continue;
        }
        let distances: Vec<f64> = drawn.iter().zip(&base).map(|(one, base)| distance(one, base)).collect();
        section.interval(
            format!("eta {eta}, scale {scale}: distance"),
            Interval::of_mean(SEED, &distances),
            distances.len(),
        );
    }
    Ok(())
}

async fn invert(bench: &Bench, picture: &Picture, refinements: u32) -> anyhow::Result<InvertedImage> {
    let inversion = InversionOptions { steps: Some(STEPS), refinements: Some(refinements) };
    let request = InvertImageRequest { image: picture.png()?.into(), inversion: Some(inversion) };
    let request = RequestContext::fresh().request(request);
    let mut stream = bench.pipeline.gateway().invert_image(request).await.map_err(refused)?.into_inner();
    while let Some(message) = stream.message().await.map_err(refused)? {
        if let Some(invert_image_response::Event::Result(inverted)) = message.event {
            return Ok(inverted);
        }
    }
    Err(anyhow!("the gateway ended without latents"))
}

/// What the decoder makes of latents with DDIM.
async fn redraw(bench: &Bench, inverted: &InvertedImage, eta: f32, scale: f32) -> anyhow::Result<Picture> {
    let embedding = inverted.image_embedding.clone().context("no embedding")?;
    let decoder = SamplingOptions {
        steps: Some(STEPS),
        guidance_scale: Some(scale),
        sampler: Sampler::Ddim as i32,
        eta: Some(eta),
        clamped_epsilon: None,
    };
    let options =
        DrawOptions { seed: Some(SEED), decoder: Some(decoder), return_tensors: true, ..Default::default() };
    let source = Some(Source::ImageEmbedding(embedding));
    let latent = Latent { source, x_t: inverted.x_t.clone(), decoder: None };
    let request = VaryImageRequest { latent: Some(latent), n: None, options: Some(options) };
    let request = RequestContext::fresh().request(request);
    let mut stream = bench.pipeline.gateway().vary_image(request).await.map_err(refused)?.into_inner();
    while let Some(message) = stream.message().await.map_err(refused)? {
        if let Some(vary_image_response::Event::Image(image)) = message.event {
            let tensors = image.tensors.context("the gateway sent no tensors")?;
            return picture(floats(tensors.decoded.as_ref())?);
        }
    }
    Err(anyhow!("the gateway ended without a picture"))
}

/// Standard deviation of a picture's x_T.
#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
fn deviation(inverted: &InvertedImage) -> anyhow::Result<f64> {
    let values = floats(inverted.x_t.as_ref())?;
    let count = values.len().max(1) as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    Ok((values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count).sqrt())
}

/// Mean absolute difference, as a share of the range.
#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
fn distance(one: &Picture, other: &Picture) -> f64 {
    let sum: f64 = one.values.iter().zip(&other.values).map(|(a, b)| f64::from((a - b).abs())).sum();
    sum / 2.0 / one.values.len().max(1) as f64
}
