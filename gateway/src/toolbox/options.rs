//! The options that the operations share, validated.

use futures::FutureExt;
use unclip_proto::v1::{
    DrawOptions, GenerateImageRequest, InversionOptions, Latent, Sampler, SamplingOptions,
};
use unclip_proto::{FieldError, STEPS as STEP_RANGE, Sampling, SamplingDefaults};
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

/// A plan with an empty caption for `images` pictures. What the decoder's options leave open is the operation's default, and
/// what that leaves open the stage's, every field by itself.
pub(super) fn plan(
    options: Option<&DrawOptions>,
    images: Option<u32>,
    operation: SamplingOptions,
    facts: &StageFacts,
) -> Result<Plan, FieldError> {
    let options = options.cloned().unwrap_or_default();
    let request = GenerateImageRequest {
        n: images,
        seed: options.seed,
        // There is no prior: guidance is the decoder's affair alone, as in the reference's variation pipeline.
        prior: Some(SamplingOptions { guidance_scale: Some(1.0), ..Default::default() }),
        decoder: Some(options.decoder.unwrap_or_default().or(operation)),
        upsampler: options.upsampler,
        format: options.format,
        preview_every: options.preview_every,
        return_tensors: options.return_tensors,
        jpeg_quality: options.jpeg_quality,
        webp_quality: options.webp_quality,
        output_size: options.output_size,
        ..Default::default()
    };
    Plan::new(&request, facts)
        .map_err(|error| if error.field == "n" { error } else { error.within("options") })
}

/// How the x_T of a request's latents becomes a picture again: as the first says that knows, and what is unknown as after an
/// inversion in `steps` steps. Latents come with their fields' names.
pub(super) fn way_back_of<'a>(
    latents: impl IntoIterator<Item = (&'a str, Option<&'a Latent>)>,
    steps: u32,
) -> Result<SamplingOptions, FieldError> {
    let mut found = None;
    for (field, latent) in latents {
        let Some(Latent { x_t, decoder: Some(own), .. }) = latent else { continue };
        let field = format!("{field}.decoder");
        if x_t.is_none() {
            return Err(FieldError::new(field, "says how x_t is decoded, and there is none; leave it out"));
        }
        Sampling::resolve(Some(own), SamplingDefaults::DECODER, &field)?;
        found.get_or_insert(*own);
    }
    Ok(found.unwrap_or_default().or(way_back(steps)))
}

/// DDIM without noise or guidance: what an inversion inverts.
pub(super) fn way_back(steps: u32) -> SamplingOptions {
    SamplingOptions {
        steps: Some(steps),
        guidance_scale: Some(1.0),
        sampler: Sampler::Ddim as i32,
        eta: Some(0.0),
        clamped_epsilon: Some(true),
    }
}

/// The inversion that a request asks for, if it does, and the steps of the way back.
pub(super) fn inversion(
    asked: Option<&InversionOptions>,
    options: Option<&DrawOptions>,
) -> Result<(Option<InversionPlan>, u32), FieldError> {
    let steps = inversion_steps(options);
    let inversion = asked.map(|asked| InversionPlan::new(Some(asked), steps)).transpose()?;
    Ok((inversion, inversion.map_or(steps, |inversion| inversion.steps)))
}

/// Steps of an inversion whose request leaves them open: as many as the way back takes.
pub(super) fn inversion_steps(options: Option<&DrawOptions>) -> u32 {
    options.and_then(|options| options.decoder?.steps).unwrap_or(STEPS)
}

/// An inversion's steps and refinements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InversionPlan {
    pub(super) steps: u32,
    pub(super) refinements: u32,
}

impl InversionPlan {
    /// Validates options and fills their gaps; `steps` are taken where they name none.
    pub(super) fn new(options: Option<&InversionOptions>, steps: u32) -> Result<Self, FieldError> {
        let options = options.copied().unwrap_or_default();
        if let Some(given) = options.steps.filter(|given| !STEP_RANGE.contains(given)) {
            let (low, high) = (STEP_RANGE.start(), STEP_RANGE.end());
            return Err(FieldError::out_of_range("inversion.steps", given, low, high));
        }
        let steps = options.steps.unwrap_or(steps);
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
        let varied = plan(None, Some(2), SamplingOptions::default(), UNKNOWN).unwrap();
        assert_eq!((varied.images, varied.decoder.steps, varied.decoder.guidance_scale), (2, 25, 8.0));
        let back = plan(None, None, way_back(50), UNKNOWN).unwrap();
        assert_eq!((back.decoder.steps, back.decoder.sampler, back.guided()), (50, Sampler::Ddim, false));
        let unspecific = InversionPlan::new(None, 50).unwrap();
        assert_eq!(unspecific, InversionPlan { steps: 50, refinements: 0 });
    }

    /// `unclip diff cat.png --decoder-steps 50` turned to another sampler, and guidance on.
    #[test]
    fn a_field_that_is_given_leaves_the_others_defaults() {
        let drawn = |decoder| {
            let options = DrawOptions { decoder: Some(decoder), ..Default::default() };
            let drawn = plan(Some(&options), None, way_back(50), UNKNOWN).unwrap().decoder;
            (drawn.steps, drawn.sampler, drawn.guidance_scale, drawn.eta)
        };
        let given = SamplingOptions::default;
        let ddim = Sampler::Ddim;
        assert_eq!(drawn(given()), (50, ddim, 1.0, 0.0));
        assert_eq!(drawn(SamplingOptions { steps: Some(50), ..given() }), (50, ddim, 1.0, 0.0));
        assert_eq!(drawn(SamplingOptions { guidance_scale: Some(3.0), ..given() }), (50, ddim, 3.0, 0.0));
        assert_eq!(drawn(SamplingOptions { eta: Some(0.5), ..given() }), (50, ddim, 1.0, 0.5));
        let unclip = SamplingOptions { sampler: Sampler::Unclip as i32, ..given() };
        assert_eq!(drawn(unclip), (50, Sampler::Unclip, 1.0, 0.0));
    }

    #[test]
    fn latents_say_how_their_noise_becomes_a_picture() {
        let known = SamplingOptions { steps: Some(20), guidance_scale: Some(2.0), ..Default::default() };
        let x_t = Some(unclip_proto::v1::Tensor::from_f32(&[1], &[0.5]));
        let latent = |decoder| Latent { x_t: x_t.clone(), decoder, ..Default::default() };
        let (silent, telling) = (latent(None), latent(Some(known)));
        let of = |latents: &[&Latent]| {
            way_back_of(latents.iter().map(|latent| ("latent", Some(*latent))), 50).unwrap()
        };
        assert_eq!(of(&[&silent]), way_back(50));
        assert_eq!(of(&[&silent, &telling]), SamplingOptions { guidance_scale: Some(2.0), ..way_back(20) });
        for (latent, expected) in [
            (Latent { x_t: None, ..telling }, "from.decoder: says how x_t is decoded, and there is none"),
            (
                latent(Some(SamplingOptions { steps: Some(0), ..known })),
                "from.decoder.steps: 0 is out of range",
            ),
        ] {
            let error = way_back_of([("from", Some(&latent))], 50).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn an_inversion_takes_the_steps_of_the_way_back() {
        let steps = |steps| {
            let decoder = Some(SamplingOptions { steps, ..Default::default() });
            inversion_steps(Some(&DrawOptions { decoder, ..Default::default() }))
        };
        assert_eq!((steps(Some(20)), steps(None), inversion_steps(None)), (20, 50, 50));
    }

    #[test]
    fn bad_options_are_named() {
        let decoder = Some(SamplingOptions { steps: Some(0), ..Default::default() });
        let refused = |options: Option<DrawOptions>, images| {
            plan(options.as_ref(), images, SamplingOptions::default(), UNKNOWN).unwrap_err().to_string()
        };
        let error = refused(Some(DrawOptions { decoder, ..Default::default() }), None);
        assert!(error.starts_with("options.decoder.steps: 0 is out of range"), "{error}");
        assert!(refused(None, Some(17)).starts_with("n: 17 is out of range"));
        for (steps, refinements, expected) in
            [(Some(1001), None, "inversion.steps: 1001"), (None, Some(11), "inversion.refinements: 11")]
        {
            let error = InversionPlan::new(Some(&InversionOptions { steps, refinements }), 50).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
        }
    }
}
