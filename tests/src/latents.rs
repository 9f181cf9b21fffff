//! Latents and options that tests of the gateway's operations share.

use unclip_proto::v1::latent::Source;
use unclip_proto::v1::{DrawOptions, Embedding, GeneratedImage, Latent, Sampler, SamplingOptions, Tensor};

use crate::{gradient, png_file, values};

/// So many steps.
pub fn steps(steps: u32) -> Option<SamplingOptions> {
    Some(SamplingOptions { steps: Some(steps), ..Default::default() })
}

/// Four steps of DDIM without guidance.
pub fn ddim(eta: f32) -> Option<SamplingOptions> {
    let guidance_scale = Some(1.0);
    let sampler = Sampler::Ddim as i32;
    Some(SamplingOptions { steps: Some(4), guidance_scale, sampler, eta: Some(eta), ..Default::default() })
}

/// Seed 7, few steps, tensors returned.
pub fn options(decoder: Option<SamplingOptions>) -> Option<DrawOptions> {
    Some(DrawOptions {
        seed: Some(7),
        decoder,
        upsampler: steps(2),
        return_tensors: true,
        ..Default::default()
    })
}

/// The latent of a file.
pub fn picture(file: Vec<u8>) -> Option<Latent> {
    Some(Latent { source: Some(Source::Image(file.into())), ..Default::default() })
}

/// A latent that is known already.
pub fn embedded(embedding: Option<Embedding>, x_t: Option<Tensor>) -> Option<Latent> {
    Some(Latent { source: embedding.map(Source::ImageEmbedding), x_t, decoder: None })
}

/// A picture that is not square.
pub fn photo() -> Vec<u8> {
    png_file(gradient(40, 30))
}

/// A picture's values.
pub fn image(image: &GeneratedImage) -> Vec<f32> {
    values(image.tensors.as_ref().unwrap().image.as_ref())
}
