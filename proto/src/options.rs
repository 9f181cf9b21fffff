//! Sampling options, checked against the limits that the contracts state.

use crate::FieldError;
use crate::v1::{self, Sampler, SamplingOptions};

/// Denoising steps of a stage.
pub const STEPS: std::ops::RangeInclusive<u32> = 1..=1000;

/// Guidance scales.
pub const GUIDANCE_SCALE: std::ops::RangeInclusive<f32> = 0.0..=100.0;

/// Values for what a request leaves open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingDefaults {
    /// Denoising steps.
    pub steps: u32,
    /// Guidance scale; absent where the stage has no guidance.
    pub guidance_scale: Option<f32>,
}

impl SamplingDefaults {
    // Karlo's, from the reference pipeline (diffusers 0.42.1, UnCLIPPipeline). A bundle may have its own.

    /// Of the prior.
    pub const PRIOR: Self = Self { steps: 25, guidance_scale: Some(4.0) };
    /// Of the decoder.
    pub const DECODER: Self = Self { steps: 25, guidance_scale: Some(8.0) };
    /// Of the upsampler.
    pub const UPSAMPLER: Self = Self { steps: 7, guidance_scale: None };

    /// The same as a message.
    pub fn to_message(self) -> v1::SamplingDefaults {
        v1::SamplingDefaults { steps: self.steps, guidance_scale: self.guidance_scale }
    }
}

impl From<v1::SamplingDefaults> for SamplingDefaults {
    fn from(message: v1::SamplingDefaults) -> Self {
        Self { steps: message.steps, guidance_scale: message.guidance_scale }
    }
}

/// Sampling options without gaps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Denoising steps.
    pub steps: u32,
    /// Guidance scale; 1 where there is no guidance.
    pub guidance_scale: f32,
    /// Never unspecified.
    pub sampler: Sampler,
    /// 0 but for DDIM.
    pub eta: f32,
    /// Whether DDIM goes on with the noise of the clamped x_0; false but for DDIM.
    pub clamped_epsilon: bool,
}

impl Sampling {
    /// Fills the gaps of `options` and checks every value. `field` names the message in errors.
    ///
    /// # Errors
    /// The first value out of its range, or that does not go with the sampler or the stage.
    pub fn resolve(
        options: Option<&SamplingOptions>,
        defaults: SamplingDefaults,
        field: &str,
    ) -> Result<Self, FieldError> {
        let given = options.copied().unwrap_or_default();
        let steps = given.steps.unwrap_or(defaults.steps);
        if !STEPS.contains(&steps) {
            return Err(FieldError::out_of_range(
                format!("{field}.steps"),
                steps,
                STEPS.start(),
                STEPS.end(),
            ));
        }
        let guidance_scale = guidance_scale(&given, defaults, field)?;
        let sampler = match Sampler::try_from(given.sampler) {
            Ok(Sampler::Unspecified | Sampler::Unclip) => Sampler::Unclip,
            Ok(Sampler::Ddim) => Sampler::Ddim,
            Err(_) => {
                let problem = format!("{} is no sampler; use SAMPLER_UNCLIP or SAMPLER_DDIM", given.sampler);
                return Err(FieldError::new(format!("{field}.sampler"), problem));
            }
        };
        let eta = eta(&given, sampler, field)?;
        let clamped_epsilon = clamped_epsilon(&given, sampler, field)?;
        Ok(Self { steps, guidance_scale, sampler, eta, clamped_epsilon })
    }

    /// Whether guidance is on: its scale is not exactly 1.
    pub fn is_guided(self) -> bool {
        self.guidance_scale.to_bits() != 1.0_f32.to_bits()
    }

    /// The same options as a message, every field set that applies.
    pub fn to_message(self, has_guidance: bool) -> SamplingOptions {
        SamplingOptions {
            steps: Some(self.steps),
            guidance_scale: has_guidance.then_some(self.guidance_scale),
            sampler: self.sampler as i32,
            eta: (self.sampler == Sampler::Ddim).then_some(self.eta),
            clamped_epsilon: (self.sampler == Sampler::Ddim).then_some(self.clamped_epsilon),
        }
    }
}

impl SamplingOptions {
    /// The same with what it leaves open taken from `others`, field by field. What is DDIM's alone is taken along only where
    /// the sampler is DDIM.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        let sampler = if self.sampler == Sampler::Unspecified as i32 { others.sampler } else { self.sampler };
        let ddim = if sampler == Sampler::Ddim as i32 { others } else { Self::default() };
        Self {
            steps: self.steps.or(others.steps),
            guidance_scale: self.guidance_scale.or(others.guidance_scale),
            sampler,
            eta: self.eta.or(ddim.eta),
            clamped_epsilon: self.clamped_epsilon.or(ddim.clamped_epsilon),
        }
    }
}

fn guidance_scale(
    given: &SamplingOptions,
    defaults: SamplingDefaults,
    field: &str,
) -> Result<f32, FieldError> {
    let field = format!("{field}.guidance_scale");
    match (given.guidance_scale, defaults.guidance_scale) {
        (None, default) => Ok(default.unwrap_or(1.0)),
        (Some(_), None) => Err(FieldError::new(field, "this stage has no guidance; leave the field out")),
        (Some(scale), Some(_)) if GUIDANCE_SCALE.contains(&scale) => Ok(scale),
        (Some(scale), Some(_)) => {
            Err(FieldError::out_of_range(field, scale, GUIDANCE_SCALE.start(), GUIDANCE_SCALE.end()))
        }
    }
}

fn eta(given: &SamplingOptions, sampler: Sampler, field: &str) -> Result<f32, FieldError> {
    let field = format!("{field}.eta");
    match given.eta {
        None => Ok(0.0),
        Some(_) if sampler != Sampler::Ddim => Err(FieldError::new(
            field,
            "only DDIM has an eta; set sampler to SAMPLER_DDIM or leave the field out",
        )),
        Some(eta) if (0.0..=1.0).contains(&eta) => Ok(eta),
        Some(eta) => Err(FieldError::out_of_range(field, eta, 0, 1)),
    }
}

fn clamped_epsilon(given: &SamplingOptions, sampler: Sampler, field: &str) -> Result<bool, FieldError> {
    match (given.clamped_epsilon, sampler) {
        (clamped, Sampler::Ddim) => Ok(clamped.unwrap_or(true)),
        (None, _) => Ok(false),
        (Some(_), _) => Err(FieldError::new(
            format!("{field}.clamped_epsilon"),
            "only DDIM has a choice; set sampler to SAMPLER_DDIM or leave the field out",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(options: SamplingOptions) -> Result<Sampling, FieldError> {
        Sampling::resolve(Some(&options), SamplingDefaults::PRIOR, "options")
    }

    #[test]
    fn absent_options_are_the_defaults() {
        let sampling = Sampling::resolve(None, SamplingDefaults::PRIOR, "options").unwrap();
        let expected = Sampling {
            steps: 25,
            guidance_scale: 4.0,
            sampler: Sampler::Unclip,
            eta: 0.0,
            clamped_epsilon: false,
        };
        assert_eq!(sampling, expected);
    }

    #[test]
    fn ddim_goes_on_with_the_clamped_x_0_unless_told_otherwise() {
        let ddim = |clamped_epsilon| {
            let sampler = Sampler::Ddim as i32;
            resolve(SamplingOptions { sampler, clamped_epsilon, ..Default::default() }).unwrap()
        };
        assert!(ddim(None).clamped_epsilon);
        assert!(!ddim(Some(false)).clamped_epsilon);
        assert_eq!(resolve(ddim(Some(false)).to_message(true)).unwrap(), ddim(Some(false)));
    }

    #[test]
    fn a_message_of_resolved_options_resolves_to_the_same() {
        let options = SamplingOptions {
            steps: Some(9),
            sampler: Sampler::Ddim as i32,
            eta: Some(0.5),
            ..Default::default()
        };
        let sampling = resolve(options).unwrap();
        assert_eq!(resolve(sampling.to_message(true)).unwrap(), sampling);
    }

    #[test]
    fn every_field_is_filled_by_itself() {
        let others = SamplingOptions {
            steps: Some(50),
            guidance_scale: Some(1.0),
            sampler: Sampler::Ddim as i32,
            eta: Some(0.25),
            clamped_epsilon: Some(false),
        };
        let given = SamplingOptions::default;
        assert_eq!(given().or(others), others);
        for (one, expected) in [
            (SamplingOptions { steps: Some(9), ..given() }, SamplingOptions { steps: Some(9), ..others }),
            (
                SamplingOptions { guidance_scale: Some(3.0), ..given() },
                SamplingOptions { guidance_scale: Some(3.0), ..others },
            ),
            (SamplingOptions { sampler: Sampler::Ddim as i32, ..given() }, others),
            (SamplingOptions { eta: Some(0.5), ..given() }, SamplingOptions { eta: Some(0.5), ..others }),
            (
                SamplingOptions { clamped_epsilon: Some(true), ..given() },
                SamplingOptions { clamped_epsilon: Some(true), ..others },
            ),
            (
                SamplingOptions { sampler: Sampler::Unclip as i32, ..given() },
                SamplingOptions {
                    sampler: Sampler::Unclip as i32,
                    eta: None,
                    clamped_epsilon: None,
                    ..others
                },
            ),
        ] {
            assert_eq!(one.or(others), expected);
        }
    }

    #[test]
    fn bad_values_are_named() {
        let steps = |steps| SamplingOptions { steps: Some(steps), ..Default::default() };
        let scale = |scale| SamplingOptions { guidance_scale: Some(scale), ..Default::default() };
        let cases = [
            (steps(0), "options.steps: 0 is out of range"),
            (steps(10_000), "options.steps: 10000 is out of range"),
            (scale(-1.0), "options.guidance_scale: -1 is out of range"),
            (scale(f32::INFINITY), "options.guidance_scale: inf is out of range"),
            (scale(f32::NAN), "options.guidance_scale: NaN is out of range"),
            (SamplingOptions { sampler: 7, ..Default::default() }, "options.sampler: 7 is no sampler"),
            (SamplingOptions { eta: Some(0.5), ..Default::default() }, "options.eta: only DDIM"),
            (
                SamplingOptions { clamped_epsilon: Some(true), ..Default::default() },
                "options.clamped_epsilon: only DDIM",
            ),
            (
                SamplingOptions { eta: Some(2.0), sampler: Sampler::Ddim as i32, ..Default::default() },
                "options.eta: 2 is out of range",
            ),
        ];
        for (options, expected) in cases {
            let text = resolve(options).unwrap_err().to_string();
            assert!(text.starts_with(expected), "{text}");
        }
    }

    #[test]
    fn a_stage_without_guidance_refuses_it() {
        let options = SamplingOptions { guidance_scale: Some(2.0), ..Default::default() };
        assert!(Sampling::resolve(Some(&options), SamplingDefaults::UPSAMPLER, "options").is_err());
    }
}
