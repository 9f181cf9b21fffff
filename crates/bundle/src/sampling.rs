//! `sampling.json`: how the bundle's stages sample, and its CLIP weighs, unless a request says otherwise.

use std::ops::RangeInclusive;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{BundleError, config};

/// The file's name at a bundle's root. It is optional, and so is every key.
pub const SAMPLING_FILE: &str = "sampling.json";

/// Denoising steps that a default may have, as the contracts have it (`proto/src/options.rs`).
pub const STEPS: RangeInclusive<u32> = 1..=1000;

/// Guidance scales that a default may have, as the contracts have it.
pub const GUIDANCE_SCALE: RangeInclusive<f32> = 0.0..=100.0;

/// What cosines may be multiplied by, as the contracts have it.
pub const LOGIT_SCALE: RangeInclusive<f32> = 0.0..=1000.0;

/// A bundle's own defaults; what it leaves open is Karlo's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct BundleSampling {
    /// Of the prior.
    #[serde(skip_serializing_if = "StageSampling::is_empty")]
    pub prior: StageSampling,
    /// Of the decoder.
    #[serde(skip_serializing_if = "StageSampling::is_empty")]
    pub decoder: StageSampling,
    /// Of the upsampler, which has no guidance.
    #[serde(skip_serializing_if = "StageSampling::is_empty")]
    pub upsampler: StageSampling,
    /// Of classification.
    #[serde(skip_serializing_if = "ClipDefaults::is_empty")]
    pub clip: ClipDefaults,
}

/// Defaults of what CLIP is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClipDefaults {
    /// What cosines are multiplied by: where this CLIP's training ended (arXiv 2103.00020, section 2.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logit_scale: Option<f32>,
}

/// Defaults of one stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct StageSampling {
    /// Denoising steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub steps: Option<u32>,
    /// Guidance scale.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guidance_scale: Option<f32>,
}

impl BundleSampling {
    /// Reads the file of the bundle at `root`; without one nothing is set.
    ///
    /// # Errors
    /// A file that does not parse, an unknown key, or a value of another type or out of its range, by its key.
    pub fn read(root: &Path) -> Result<Self, BundleError> {
        let path = root.join(SAMPLING_FILE);
        let raw: Map<String, Value> = match config::read_json(&path) {
            Err(BundleError::Missing { .. }) => return Ok(Self::default()),
            raw => raw?,
        };
        Self::parse(&raw).map_err(|reason| BundleError::Config { path, reason })
    }

    /// Takes over what `other` sets.
    pub fn merge(&mut self, other: Self) {
        self.prior.merge(other.prior);
        self.decoder.merge(other.decoder);
        self.upsampler.merge(other.upsampler);
        self.clip.logit_scale = other.clip.logit_scale.or(self.clip.logit_scale);
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn parse(raw: &Map<String, Value>) -> Result<Self, String> {
        let mut sampling = Self::default();
        for (part, value) in raw {
            let values = || match value {
                Value::Object(values) => Ok(values),
                _ => Err(format!("{part} is {value}, it must be an object")),
            };
            match part.as_str() {
                "prior" => sampling.prior = StageSampling::parse(part, values()?, true)?,
                "decoder" => sampling.decoder = StageSampling::parse(part, values()?, true)?,
                "upsampler" => sampling.upsampler = StageSampling::parse(part, values()?, false)?,
                "clip" => sampling.clip = ClipDefaults::parse(values()?)?,
                _ => return Err(format!("{part} is no key of it; use prior, decoder, upsampler or clip")),
            }
        }
        Ok(sampling)
    }
}

impl ClipDefaults {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn parse(values: &Map<String, Value>) -> Result<Self, String> {
        let mut own = Self::default();
        for (key, value) in values {
            let field = format!("clip.{key}");
            match key.as_str() {
                "logit_scale" => own.logit_scale = Some(number(&field, value, "a number", LOGIT_SCALE)?),
                _ => return Err(format!("{field} is no key of it; use logit_scale")),
            }
        }
        Ok(own)
    }
}

impl StageSampling {
    fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn merge(&mut self, other: Self) {
        self.steps = other.steps.or(self.steps);
        self.guidance_scale = other.guidance_scale.or(self.guidance_scale);
    }

    fn parse(stage: &str, values: &Map<String, Value>, guided: bool) -> Result<Self, String> {
        let mut own = Self::default();
        for (key, value) in values {
            let field = format!("{stage}.{key}");
            match key.as_str() {
                "steps" => own.steps = Some(number(&field, value, "a whole number", STEPS)?),
                "guidance_scale" if guided => {
                    own.guidance_scale = Some(number(&field, value, "a number", GUIDANCE_SCALE)?);
                }
                "guidance_scale" => {
                    return Err(format!("{field}: this stage has no guidance; remove the key"));
                }
                _ => return Err(format!("{field} is no key of it; use steps or guidance_scale")),
            }
        }
        Ok(own)
    }
}

fn number<'a, T>(field: &str, value: &'a Value, kind: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: Deserialize<'a> + PartialOrd + std::fmt::Display,
{
    match T::deserialize(value) {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(format!("{field} is {value}, it must be {kind} from {} to {}", range.start(), range.end())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<BundleSampling, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(SAMPLING_FILE), text).unwrap();
        BundleSampling::read(folder.path())
    }

    #[test]
    fn every_key_is_optional_and_so_is_the_file() {
        let nowhere = BundleSampling::read(Path::new("/no/such/bundle")).unwrap();
        assert!(nowhere.is_empty() && read("{}").unwrap().is_empty());
        let text = r#"{"prior": {"guidance_scale": 2}, "decoder": {"steps": 25, "guidance_scale": 3.5}, "upsampler": {}}"#;
        let sampling = read(text).unwrap();
        assert_eq!(sampling.prior, StageSampling { steps: None, guidance_scale: Some(2.0) });
        assert_eq!(sampling.decoder, StageSampling { steps: Some(25), guidance_scale: Some(3.5) });
        assert!(sampling.upsampler.is_empty());
        assert_eq!(sampling.clip, ClipDefaults::default());
        assert_eq!(read(&serde_json::to_string(&sampling).unwrap()).unwrap(), sampling);
    }

    #[test]
    fn bad_files_are_refused_by_file_and_field() {
        let cases = [
            ("{", "EOF"),
            ("[]", "invalid type"),
            (r#"{"priors": {}}"#, "priors is no key"),
            (r#"{"prior": 25}"#, "prior is 25, it must be an object"),
            (r#"{"clip": {"scale": 25}}"#, "clip.scale is no key of it; use logit_scale"),
            (
                r#"{"clip": {"logit_scale": -1}}"#,
                "clip.logit_scale is -1, it must be a number from 0 to 1000",
            ),
            (r#"{"prior": {"step": 25}}"#, "prior.step is no key"),
            (
                r#"{"prior": {"steps": "25"}}"#,
                "prior.steps is \"25\", it must be a whole number from 1 to 1000",
            ),
            (r#"{"prior": {"steps": null}}"#, "prior.steps is null"),
            (r#"{"decoder": {"steps": 2.5}}"#, "decoder.steps is 2.5"),
            (r#"{"decoder": {"steps": 0}}"#, "decoder.steps is 0"),
            (r#"{"upsampler": {"steps": 1001}}"#, "upsampler.steps is 1001"),
            (
                r#"{"decoder": {"guidance_scale": -1}}"#,
                "decoder.guidance_scale is -1, it must be a number from 0",
            ),
            (r#"{"decoder": {"guidance_scale": 1e60}}"#, "decoder.guidance_scale is 1e+60"),
            (
                r#"{"upsampler": {"guidance_scale": 1}}"#,
                "upsampler.guidance_scale: this stage has no guidance",
            ),
        ];
        for (text, expected) in cases {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains("sampling.json: ") && error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_merge_keeps_what_the_other_leaves_open() {
        let mut sampling =
            read(r#"{"prior": {"steps": 5}, "upsampler": {"steps": 3}, "clip": {"logit_scale": 25}}"#)
                .unwrap();
        sampling.merge(read(r#"{"decoder": {"steps": 6}, "upsampler": {"steps": 4}}"#).unwrap());
        let steps = [sampling.prior, sampling.decoder, sampling.upsampler].map(|stage| stage.steps);
        assert_eq!(steps, [Some(5), Some(6), Some(4)]);
        assert_eq!(sampling.clip.logit_scale, Some(25.0));
        assert_eq!(read(&serde_json::to_string(&sampling).unwrap()).unwrap(), sampling);
    }
}
