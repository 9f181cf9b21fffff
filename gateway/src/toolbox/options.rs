//! The options that the operations share, validated.

use futures::FutureExt;
use unclip_proto::v1::{DrawOptions, GenerateImageRequest, InversionOptions, Sampler, SamplingOptions};
use unclip_proto::{FieldError, STEPS as STEP_RANGE};
use unclip_service::{Error, RequestContext};

use crate::pipeline::Pipeline;
use crate::plan::{Plan, StageFacts};

/// The most refinements of an inversion's step.
const MAX_REFINEMENTS: u32 = 10;

/// Steps of an inversion and of the way back, unless given.
pub(super) const STEPS: u32 = 50;

/// A plan whose gaps are filled with what the stages say. What no stage needs to be asked for is refused at once.
pub(super) async fn settled(
    pipeline: &Pipeline,
    context: &RequestContext,
    asks_prior: bool,
    make: impl Fn(&StageFacts) -> Result<Plan, FieldError>,
) -> Result<Plan, Error> {
    make(&StageFacts::UNKNOWN)?;
    let facts = pipeline.stages.facts(context, asks_prior).boxed().await?;
    Ok(make(&facts)?)
}

/// A plan with an empty caption for `images` pictures. What the decoder's options leave open is the stage's default.
pub(super) fn plan(
    options: Option<&DrawOptions>,
    images: Option<u32>,
    facts: &StageFacts,
) -> Result<Plan, FieldError> {
    let options = options.cloned().unwrap_or_default();
    let request = GenerateImageRequest {
        n: images,
        seed: options.seed,
        // There is no prior: guidance is the decoder's affair alone, as in the reference's variation pipeline.
        prior: Some(SamplingOptions { guidance_scale: Some(1.0), ..Default::default() }),
        decoder: options.decoder,
        upsampler: options.upsampler,
        format: options.format,
        preview_every: options.preview_every,
        return_tensors: options.return_tensors,
        jpeg_quality: options.jpeg_quality,
        ..Default::default()
    };
    Plan::new(&request, facts)
        .map_err(|error| if error.field == "n" { error } else { error.within("options") })
}

/// The same with the way back from an inversion as the decoder's default.
pub(super) fn reconstructing_plan(
    options: Option<&DrawOptions>,
    steps: u32,
    facts: &StageFacts,
) -> Result<Plan, FieldError> {
    let mut options = options.cloned().unwrap_or_default();
    options.decoder.get_or_insert_with(|| way_back(steps));
    plan(Some(&options), None, facts)
}

/// DDIM without noise or guidance: what an inversion inverts.
pub(super) fn way_back(steps: u32) -> SamplingOptions {
    SamplingOptions {
        steps: Some(steps),
        guidance_scale: Some(1.0),
        sampler: Sampler::Ddim as i32,
        eta: Some(0.0),
    }
}

/// An inversion's steps and refinements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InversionPlan {
    pub(super) steps: u32,
    pub(super) refinements: u32,
}

impl InversionPlan {
    /// Validates options and fills their gaps.
    pub(super) fn new(options: Option<&InversionOptions>) -> Result<Self, FieldError> {
        let options = options.copied().unwrap_or_default();
        let steps = options.steps.unwrap_or(STEPS);
        if !STEP_RANGE.contains(&steps) {
            let (low, high) = (STEP_RANGE.start(), STEP_RANGE.end());
            return Err(FieldError::out_of_range("inversion.steps", steps, low, high));
        }
        let refinements = options.refinements.unwrap_or(0);
        if refinements > MAX_REFINEMENTS {
            return Err(FieldError::out_of_range("inversion.refinements", refinements, 0, MAX_REFINEMENTS));
        }
        Ok(Self { steps, refinements })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: &StageFacts = &StageFacts::UNKNOWN;

    #[test]
    fn defaults_are_the_references_or_the_way_back() {
        let varied = plan(None, Some(2), UNKNOWN).unwrap();
        assert_eq!((varied.images, varied.decoder.steps, varied.decoder.guidance_scale), (2, 25, 8.0));
        let back = reconstructing_plan(None, 50, UNKNOWN).unwrap();
        assert_eq!((back.decoder.steps, back.decoder.sampler, back.guided()), (50, Sampler::Ddim, false));
        let unspecific = InversionPlan::new(None).unwrap();
        assert_eq!(unspecific, InversionPlan { steps: 50, refinements: 0 });
    }

    #[test]
    fn bad_options_are_named() {
        let decoder = Some(SamplingOptions { steps: Some(0), ..Default::default() });
        let error = plan(Some(&DrawOptions { decoder, ..Default::default() }), None, UNKNOWN).unwrap_err();
        assert!(error.to_string().starts_with("options.decoder.steps: 0 is out of range"), "{error}");
        assert!(plan(None, Some(17), UNKNOWN).unwrap_err().to_string().starts_with("n: 17 is out of range"));
        for (steps, refinements, expected) in
            [(Some(1001), None, "inversion.steps: 1001"), (None, Some(11), "inversion.refinements: 11")]
        {
            let error = InversionPlan::new(Some(&InversionOptions { steps, refinements })).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
