//! A request, validated: the one validator for every way into the gateway.

use unclip_pictures::MAX_SIDE;
use unclip_proto::v1::{GenerateImageRequest, ImageFormat, PictureSize};
use unclip_proto::{FieldError, Sampling, SamplingDefaults, check_text};

use crate::image_source::ImageSource;
use crate::picture::FileFormat;

/// The most pictures of one request.
const MAX_IMAGES: u32 = 16;

/// The longest distance between previews, in steps: no run has more.
const MAX_PREVIEW_EVERY: u32 = 1000;

/// The most prior samples per picture.
const MAX_CANDIDATES: u32 = 8;

/// Quality of a JPEG file unless given.
const JPEG_QUALITY: u32 = 90;

/// What the stages say of themselves that a plan depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StageFacts {
    pub(crate) prior: SamplingDefaults,
    pub(crate) decoder: SamplingDefaults,
    pub(crate) upsampler: SamplingDefaults,
    /// Width of the embeddings that the decoder takes; none before it was asked.
    pub(crate) embedding_dim: Option<usize>,
}

impl StageFacts {
    /// Enough to check a request before any stage is asked.
    pub(crate) const UNKNOWN: Self = Self {
        prior: SamplingDefaults::PRIOR,
        decoder: SamplingDefaults::DECODER,
        upsampler: SamplingDefaults::UPSAMPLER,
        embedding_dim: None,
    };
}

/// Checks a request as the gateway will before it asks the stages.
///
/// # Errors
/// The first field that is out of its range.
pub fn check(request: &GenerateImageRequest) -> Result<(), FieldError> {
    Plan::new(request, &StageFacts::UNKNOWN).map(drop)
}

/// What to draw, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) prompt: String,
    pub(crate) negative_prompt: String,
    pub(crate) images: u32,
    /// Seed of the first picture.
    pub(crate) seed: u64,
    pub(crate) prior: Sampling,
    pub(crate) decoder: Sampling,
    pub(crate) upsampler: Sampling,
    pub(crate) source: ImageSource,
    pub(crate) candidates: u32,
    pub(crate) format: FileFormat,
    /// Width and height of the files, where they are not the upsampler's.
    pub(crate) output_size: Option<(u32, u32)>,
    pub(crate) preview_every: u32,
    pub(crate) return_tensors: bool,
}

impl Plan {
    /// Validates a request and fills its gaps.
    pub(crate) fn new(request: &GenerateImageRequest, facts: &StageFacts) -> Result<Self, FieldError> {
        check_text("prompt", &request.prompt)?;
        check_text("negative_prompt", &request.negative_prompt)?;
        let images = within("n", request.n.unwrap_or(1), 1, MAX_IMAGES)?;
        let candidates = within("candidates", request.candidates.unwrap_or(1), 1, MAX_CANDIDATES)?;
        let preview_every = within("preview_every", request.preview_every, 0, MAX_PREVIEW_EVERY)?;
        let seed = request.seed.unwrap_or_else(random_seed);
        // Picture k has seed + k.
        let largest = u64::MAX - u64::from(images - 1);
        if seed > largest {
            return Err(FieldError::out_of_range("seed", seed, 0, largest));
        }
        let mut plan = Self {
            prior: Sampling::resolve(request.prior.as_ref(), facts.prior, "prior")?,
            decoder: Sampling::resolve(request.decoder.as_ref(), facts.decoder, "decoder")?,
            upsampler: Sampling::resolve(request.upsampler.as_ref(), facts.upsampler, "upsampler")?,
            source: ImageSource::of(request, facts.embedding_dim)?,
            format: format(request)?,
            output_size: request.output_size.as_ref().map(output_size).transpose()?,
            prompt: request.prompt.clone(),
            negative_prompt: request.negative_prompt.clone(),
            images,
            seed,
            candidates,
            preview_every,
            return_tensors: request.return_tensors,
        };
        plan.settle_guidance();
        Ok(plan)
    }

    /// Whether any stage needs the negative prompt.
    pub(crate) fn guided(&self) -> bool {
        self.asks_prior() && self.prior.is_guided() || self.decoder.is_guided()
    }

    /// Whether the prior takes part.
    pub(crate) fn asks_prior(&self) -> bool {
        self.source == ImageSource::Prior
    }

    /// The reference pipeline turns guidance off when neither stage's scale is above 1, and else runs the formula in both.
    /// A prior that is not asked has no say.
    fn settle_guidance(&mut self) {
        let prior_is_off = !self.asks_prior() || self.prior.guidance_scale <= 1.0;
        if prior_is_off && self.decoder.guidance_scale <= 1.0 {
            self.prior.guidance_scale = 1.0;
            self.decoder.guidance_scale = 1.0;
        }
    }
}

fn within(field: &str, value: u32, low: u32, high: u32) -> Result<u32, FieldError> {
    if (low..=high).contains(&value) {
        Ok(value)
    } else {
        Err(FieldError::out_of_range(field, value, low, high))
    }
}

fn format(request: &GenerateImageRequest) -> Result<FileFormat, FieldError> {
    let number = request.format;
    let format = ImageFormat::try_from(number).map_err(|_| {
        let problem = format!("{number} is no image format; use IMAGE_FORMAT_PNG, _JPEG or _WEBP");
        FieldError::new("format", problem)
    })?;
    let of_another = |field: &str, quality: Option<u32>, own: ImageFormat| match quality {
        Some(_) if format != own => {
            let problem = format!("only for {}; set format to it or leave the field out", own.as_str_name());
            Err(FieldError::new(field, problem))
        }
        _ => Ok(()),
    };
    of_another("jpeg_quality", request.jpeg_quality, ImageFormat::Jpeg)?;
    of_another("webp_quality", request.webp_quality, ImageFormat::Webp)?;
    let byte = |quality: u32| u8::try_from(quality).unwrap_or(100);
    Ok(match format {
        ImageFormat::Jpeg => {
            let quality = within("jpeg_quality", request.jpeg_quality.unwrap_or(JPEG_QUALITY), 1, 100)?;
            FileFormat::Jpeg { quality: byte(quality) }
        }
        ImageFormat::Webp => {
            let quality = request.webp_quality.map(|quality| within("webp_quality", quality, 0, 100));
            FileFormat::Webp { quality: quality.transpose()?.map(byte) }
        }
        ImageFormat::Png | ImageFormat::Unspecified => FileFormat::Png,
    })
}

fn output_size(size: &PictureSize) -> Result<(u32, u32), FieldError> {
    let width = within("output_size.width", size.width, 1, MAX_SIDE)?;
    Ok((width, within("output_size.height", size.height, 1, MAX_SIDE)?))
}

/// 32 bits, since torch's generator takes no more. The low half of a version 7 UUID is random.
fn random_seed() -> u64 {
    uuid::Uuid::now_v7().as_u64_pair().1 & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use unclip_proto::v1::{PriorMode, SamplingOptions};

    use super::*;

    fn plan(request: GenerateImageRequest) -> Result<Plan, FieldError> {
        Plan::new(&request, &StageFacts::UNKNOWN)
    }

    fn scale(scale: f32) -> Option<SamplingOptions> {
        Some(SamplingOptions { guidance_scale: Some(scale), ..Default::default() })
    }

    fn scaled(prior: f32, decoder: f32) -> Plan {
        plan(GenerateImageRequest { prior: scale(prior), decoder: scale(decoder), ..Default::default() })
            .unwrap()
    }

    #[test]
    fn an_empty_request_has_the_references_defaults() {
        let plan = plan(GenerateImageRequest::default()).unwrap();
        assert_eq!((plan.images, plan.candidates, plan.format), (1, 1, FileFormat::Png));
        assert_eq!((plan.prior.steps, plan.decoder.steps, plan.upsampler.steps), (25, 25, 7));
        assert_eq!((plan.prior.guidance_scale, plan.decoder.guidance_scale), (4.0, 8.0));
        assert!(plan.seed <= u64::from(u32::MAX));
    }

    #[test]
    fn the_last_seed_draws_one_picture() {
        for (seed, images) in [(u64::MAX, 1), (u64::MAX - 1, 2), (u64::MAX - 15, 16)] {
            let request = GenerateImageRequest { seed: Some(seed), n: Some(images), ..Default::default() };
            assert_eq!(plan(request).unwrap().seed, seed);
        }
    }

    #[test]
    fn guidance_is_off_only_when_neither_scale_is_above_one() {
        let scales = |plan: &Plan| (plan.prior.guidance_scale, plan.decoder.guidance_scale);
        assert_eq!(scales(&scaled(0.5, 1.0)), (1.0, 1.0));
        assert!(!scaled(0.5, 1.0).guided());
        assert_eq!(scales(&scaled(0.5, 3.0)), (0.5, 3.0));
        assert!(scaled(1.0, 3.0).guided());
    }

    #[test]
    fn gaps_are_filled_with_what_the_stages_say() {
        let facts = StageFacts {
            prior: SamplingDefaults { steps: 9, guidance_scale: Some(2.0) },
            decoder: SamplingDefaults { steps: 8, guidance_scale: Some(3.0) },
            upsampler: SamplingDefaults { steps: 3, guidance_scale: None },
            embedding_dim: Some(32),
        };
        let plan =
            Plan::new(&GenerateImageRequest { decoder: scale(5.0), ..Default::default() }, &facts).unwrap();
        assert_eq!((plan.prior.steps, plan.decoder.steps, plan.upsampler.steps), (9, 8, 3));
        assert_eq!((plan.prior.guidance_scale, plan.decoder.guidance_scale), (2.0, 5.0));
    }

    #[test]
    fn a_prior_that_is_not_asked_turns_no_guidance_on() {
        let request = GenerateImageRequest { prior: scale(4.0), decoder: scale(0.5), ..Default::default() };
        assert!(plan(request.clone()).unwrap().guided());
        let plan =
            plan(GenerateImageRequest { prior_mode: PriorMode::TextEmbedding as i32, ..request }).unwrap();
        assert!(!plan.asks_prior() && !plan.guided());
    }

    #[test]
    fn bad_requests_are_refused_by_field() {
        let default = GenerateImageRequest::default;
        let cases = [
            (GenerateImageRequest { prompt: "a".repeat(32_001), ..default() }, "prompt: 32001 characters"),
            (GenerateImageRequest { n: Some(0), ..default() }, "n: 0 is out of range"),
            (GenerateImageRequest { n: Some(17), ..default() }, "n: 17 is out of range"),
            (GenerateImageRequest { candidates: Some(9), ..default() }, "candidates: 9 is out of range"),
            (
                GenerateImageRequest { seed: Some(u64::MAX), n: Some(2), ..default() },
                "seed: 18446744073709551615 is out of range, it must be from 0 to 18446744073709551614",
            ),
            (GenerateImageRequest { format: 42, ..default() }, "format: 42 is no image format"),
            (
                GenerateImageRequest { jpeg_quality: Some(90), ..default() },
                "jpeg_quality: only for IMAGE_FORMAT_JPEG",
            ),
            (
                GenerateImageRequest { webp_quality: Some(80), ..default() },
                "webp_quality: only for IMAGE_FORMAT_WEBP",
            ),
            (
                GenerateImageRequest {
                    output_size: Some(PictureSize { width: 64, height: 4097 }),
                    ..default()
                },
                "output_size.height: 4097 is out of range, it must be from 1 to 4096",
            ),
            (
                GenerateImageRequest {
                    format: ImageFormat::Jpeg as i32,
                    jpeg_quality: Some(101),
                    ..default()
                },
                "jpeg_quality: 101 is out of range, it must be from 1 to 100",
            ),
            (
                GenerateImageRequest {
                    upsampler: Some(SamplingOptions { guidance_scale: Some(2.0), ..Default::default() }),
                    ..default()
                },
                "upsampler.guidance_scale: this stage has no guidance",
            ),
        ];
        for (request, expected) in cases {
            let text = plan(request).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }
}
