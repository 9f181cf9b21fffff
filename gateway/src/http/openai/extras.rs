//! What this API has beyond the official one: parameters that clients send in `extra_body` or as further fields of a form.

use unclip_proto::v1::{
    DrawOptions, GenerateImageRequest, ImageFormat, MaskMode, PriorMode, Sampler, SamplingOptions, Tensor,
};

use super::error::ApiError;
use super::fields::Fields;
use super::parameters::{Endpoint, Parameters};

/// What a request leaves open, the gateway and its stages fill.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extras {
    pub(super) seed: Option<u64>,
    pub(super) decoder: SamplingOptions,
    pub(super) prior: SamplingOptions,
    pub(super) upsampler: SamplingOptions,
    pub(super) negative_prompt: String,
    pub(super) candidates: Option<u32>,
    pub(super) prior_mode: PriorMode,
    pub(super) image_embedding: Option<Vec<f32>>,
    pub(super) return_embeddings: bool,
    pub(super) resample: Option<u32>,
    pub(super) mask_mode: MaskMode,
}

impl Extras {
    /// Takes those that the endpoint has out of a body.
    pub(super) fn take(fields: &mut Fields, endpoint: Endpoint, strict: bool) -> Result<Self, ApiError> {
        let mut extras = Self {
            seed: fields.seed("seed", !strict)?,
            decoder: decoder(fields)?,
            upsampler: SamplingOptions { steps: fields.count("upsampler_steps")?, ..Default::default() },
            return_embeddings: fields.flag("return_embeddings")?,
            ..Self::default()
        };
        if endpoint == Endpoint::Edits {
            let modes = [("alpha", MaskMode::Alpha), ("white", MaskMode::White)];
            extras.resample = fields.count("resample")?;
            extras.mask_mode = fields.choice("mask_mode", &modes)?.unwrap_or_default();
        }
        // A variation has neither caption nor prior.
        if endpoint != Endpoint::Variations {
            extras.take_captioned(fields)?;
        }
        Ok(extras)
    }

    fn take_captioned(&mut self, fields: &mut Fields) -> Result<(), ApiError> {
        let modes = [
            ("full", PriorMode::Full),
            ("text_embedding", PriorMode::TextEmbedding),
            ("caption_only", PriorMode::CaptionOnly),
        ];
        self.prior.steps = fields.count("prior_steps")?;
        self.prior.guidance_scale = fields.number("prior_guidance")?;
        self.negative_prompt = fields.text("negative_prompt")?.unwrap_or_default();
        self.candidates = fields.count("candidates")?;
        self.prior_mode = fields.choice("prior_mode", &modes)?.unwrap_or_default();
        self.image_embedding = fields.numbers("image_embedding")?;
        Ok(())
    }

    /// The gateway's request to draw a caption.
    pub(super) fn generation(
        self,
        prompt: String,
        parameters: &Parameters,
        preview_every: u32,
    ) -> GenerateImageRequest {
        GenerateImageRequest {
            prompt,
            negative_prompt: self.negative_prompt,
            n: parameters.n,
            seed: self.seed,
            prior: Some(self.prior),
            decoder: Some(self.decoder),
            upsampler: Some(self.upsampler),
            candidates: self.candidates,
            format: parameters.format as i32,
            jpeg_quality: parameters.quality_of(ImageFormat::Jpeg),
            webp_quality: parameters.quality_of(ImageFormat::Webp),
            output_size: parameters.output_size(),
            preview_every,
            return_tensors: self.return_embeddings,
            prior_mode: self.prior_mode as i32,
            image_embedding: self.image_embedding.map(|values| Tensor::from_f32(&[values.len()], &values)),
        }
    }

    /// How the gateway is to draw a picture without a caption.
    pub(super) fn drawing(self, parameters: &Parameters) -> DrawOptions {
        DrawOptions {
            seed: self.seed,
            decoder: Some(self.decoder),
            upsampler: Some(self.upsampler),
            format: parameters.format as i32,
            jpeg_quality: parameters.quality_of(ImageFormat::Jpeg),
            webp_quality: parameters.quality_of(ImageFormat::Webp),
            output_size: parameters.output_size(),
            preview_every: 0,
            return_tensors: self.return_embeddings,
        }
    }
}

/// The decoder's options. Only DDIM has an eta, so that an eta asks for DDIM.
fn decoder(fields: &mut Fields) -> Result<SamplingOptions, ApiError> {
    let eta = fields.number("eta")?;
    let unclamped = fields.flag("unclamped_epsilon")?;
    let sampler = if eta.is_some() { Sampler::Ddim } else { Sampler::Unspecified };
    Ok(SamplingOptions {
        steps: fields.count("steps")?,
        guidance_scale: fields.number("guidance")?,
        sampler: sampler as i32,
        eta,
        clamped_epsilon: unclamped.then_some(false),
    })
}
