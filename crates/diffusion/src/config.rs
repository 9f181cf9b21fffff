//! diffusers' `scheduler_config.json`.

use serde::Deserialize;

use crate::{Error, NoiseSchedule, Result, TimestepSpacing};

/// The longest training process accepted: ten times Karlo's, and tables of 120 kB.
pub const MAX_TRAIN_TIMESTEPS: u32 = 10_000;

/// The scheduler class a config was written by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchedulerClass {
    /// `UnCLIPScheduler`: ancestral sampling as in the original Karlo.
    UnClip,
    /// `DDIMScheduler`.
    Ddim,
}

/// How the betas are spread over the training timesteps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum BetaSchedule {
    /// `squaredcos_cap_v2`, the capped cosine schedule; the only one of `UnCLIPScheduler`.
    SquaredCosCapV2,
    /// `linear` from start to end.
    Linear {
        /// The first beta.
        beta_start: f64,
        /// The last beta.
        beta_end: f64,
    },
    /// `scaled_linear`: square roots linear.
    ScaledLinear {
        /// The first beta.
        beta_start: f64,
        /// The last beta.
        beta_end: f64,
    },
}

/// Which variance a stochastic step adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VarianceType {
    /// `fixed_small_log`: the posterior variance of arXiv 2006.11239, equation 7.
    FixedSmallLog,
    /// `learned_range`: the model interpolates, in logarithms, between the posterior variance and beta
    /// (arXiv 2102.09672, equation 15). Its output has twice the channels: prediction, then variance.
    LearnedRange,
}

/// What the model predicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionType {
    /// The noise in x_t.
    Epsilon,
    /// x_0 itself, as unCLIP's prior does (arXiv 2204.06125, section 2.2).
    Sample,
}

/// What `scheduler_config.json` says, checked. Deserialising ignores unknown keys, takes diffusers' default for what is
/// missing, and refuses what isn't supported, naming key and value. A `null` is no missing key: diffusers hands it on as
/// `None`, which is false where it wants a bool or a list, and fails elsewhere.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "RawConfig")]
#[non_exhaustive]
pub struct SchedulerConfig {
    /// `_class_name`.
    pub class: SchedulerClass,
    /// The number of training timesteps.
    pub num_train_timesteps: u32,
    /// The noise schedule.
    pub beta_schedule: BetaSchedule,
    /// The variance. `DDIMScheduler` has no such key; where one is given, it says whether the model's output
    /// carries a variance half.
    pub variance_type: VarianceType,
    /// What the model predicts.
    pub prediction_type: PredictionType,
    /// `Some(clip_sample_range)` where `clip_sample` is true: x_0 is clamped to +- this.
    pub clip_sample_range: Option<f32>,
    /// Whether DDIM's last step goes to `alphas_cumprod` = 1, or else to that of timestep 0.
    pub set_alpha_to_one: bool,
    /// The spread of a run's timesteps; always [`TimestepSpacing::Linspace`] for `UnCLIPScheduler`.
    pub timestep_spacing: TimestepSpacing,
}

impl SchedulerConfig {
    /// The tables of this config's noise schedule.
    ///
    /// # Errors
    /// As the constructors of [`NoiseSchedule`].
    pub fn noise_schedule(&self) -> Result<NoiseSchedule> {
        let n = self.num_train_timesteps;
        match self.beta_schedule {
            BetaSchedule::SquaredCosCapV2 => NoiseSchedule::squaredcos_cap_v2(n),
            BetaSchedule::Linear { beta_start, beta_end } => NoiseSchedule::linear(n, beta_start, beta_end),
            BetaSchedule::ScaledLinear { beta_start, beta_end } => {
                NoiseSchedule::scaled_linear(n, beta_start, beta_end)
            }
        }
    }

    /// The checks that hold however the config was made; samplers run them again.
    pub(crate) fn check(&self) -> Result<()> {
        let n = self.num_train_timesteps;
        if n == 0 || n > MAX_TRAIN_TIMESTEPS {
            return Err(Error::out_of_range("num_train_timesteps", n, format!("1 to {MAX_TRAIN_TIMESTEPS}")));
        }
        match self.clip_sample_range {
            Some(range) if !(range > 0.0 && range.is_finite()) => {
                Err(Error::out_of_range("clip_sample_range", range, "positive and finite"))
            }
            _ => Ok(()),
        }
    }
}

/// The file as it is written. Defaults are those of the classes' constructors in diffusers 0.42.1.
#[derive(Deserialize)]
struct RawConfig {
    #[serde(rename = "_class_name")]
    class_name: String,
    #[serde(default, deserialize_with = "given")]
    num_train_timesteps: Option<u32>,
    #[serde(default, deserialize_with = "given")]
    beta_schedule: Option<String>,
    #[serde(default, deserialize_with = "given")]
    beta_start: Option<f64>,
    #[serde(default, deserialize_with = "given")]
    beta_end: Option<f64>,
    trained_betas: Option<serde::de::IgnoredAny>,
    rescale_betas_zero_snr: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    variance_type: Option<String>,
    #[serde(default, deserialize_with = "given")]
    prediction_type: Option<String>,
    #[serde(default, deserialize_with = "truth")]
    clip_sample: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    clip_sample_range: Option<f32>,
    thresholding: Option<bool>,
    #[serde(default, deserialize_with = "truth")]
    set_alpha_to_one: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    timestep_spacing: Option<String>,
    #[serde(default, deserialize_with = "given")]
    steps_offset: Option<u32>,
}

/// A value that is not null.
fn given<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(
    value: D,
) -> std::result::Result<Option<T>, D::Error> {
    T::deserialize(value).map(Some)
}

/// A bool, or null for false.
fn truth<'de, D: serde::Deserializer<'de>>(value: D) -> std::result::Result<Option<bool>, D::Error> {
    Option::deserialize(value).map(|value: Option<bool>| Some(value.unwrap_or(false)))
}

impl TryFrom<RawConfig> for SchedulerConfig {
    type Error = Error;

    fn try_from(raw: RawConfig) -> Result<Self> {
        let class = raw.class()?;
        raw.refuse_unsupported()?;
        let config = Self {
            class,
            num_train_timesteps: raw.num_train_timesteps.unwrap_or(1000),
            beta_schedule: raw.beta_schedule(class)?,
            variance_type: raw.variance_type()?,
            prediction_type: raw.prediction_type()?,
            clip_sample_range: raw
                .clip_sample
                .unwrap_or(true)
                .then_some(raw.clip_sample_range.unwrap_or(1.0)),
            set_alpha_to_one: raw.set_alpha_to_one.unwrap_or(true),
            timestep_spacing: raw.timestep_spacing(class)?,
        };
        config.check()?;
        Ok(config)
    }
}

impl RawConfig {
    fn class(&self) -> Result<SchedulerClass> {
        match self.class_name.as_str() {
            "UnCLIPScheduler" => Ok(SchedulerClass::UnClip),
            "DDIMScheduler" => Ok(SchedulerClass::Ddim),
            other => Err(unsupported("_class_name", other, "UnCLIPScheduler, DDIMScheduler")),
        }
    }

    fn refuse_unsupported(&self) -> Result<()> {
        if self.thresholding == Some(true) {
            return Err(unsupported("thresholding", "true", "false"));
        }
        if self.rescale_betas_zero_snr == Some(true) {
            return Err(unsupported("rescale_betas_zero_snr", "true", "false"));
        }
        if self.trained_betas.is_some() {
            return Err(unsupported("trained_betas", "a list", "null"));
        }
        Ok(())
    }

    fn beta_schedule(&self, class: SchedulerClass) -> Result<BetaSchedule> {
        let beta_start = self.beta_start.unwrap_or(0.0001);
        let beta_end = self.beta_end.unwrap_or(0.02);
        match (class, self.beta_schedule.as_deref()) {
            (SchedulerClass::UnClip, None) | (_, Some("squaredcos_cap_v2")) => {
                Ok(BetaSchedule::SquaredCosCapV2)
            }
            (SchedulerClass::UnClip, Some(other)) => {
                Err(unsupported("beta_schedule", other, "squaredcos_cap_v2 with UnCLIPScheduler"))
            }
            (SchedulerClass::Ddim, None | Some("linear")) => {
                Ok(BetaSchedule::Linear { beta_start, beta_end })
            }
            (_, Some("scaled_linear")) => Ok(BetaSchedule::ScaledLinear { beta_start, beta_end }),
            (_, Some(other)) => {
                Err(unsupported("beta_schedule", other, "squaredcos_cap_v2, linear, scaled_linear"))
            }
        }
    }

    fn variance_type(&self) -> Result<VarianceType> {
        match self.variance_type.as_deref() {
            None | Some("fixed_small_log") => Ok(VarianceType::FixedSmallLog),
            Some("learned_range") => Ok(VarianceType::LearnedRange),
            Some(other) => Err(unsupported("variance_type", other, "fixed_small_log, learned_range")),
        }
    }

    fn prediction_type(&self) -> Result<PredictionType> {
        match self.prediction_type.as_deref() {
            None | Some("epsilon") => Ok(PredictionType::Epsilon),
            Some("sample") => Ok(PredictionType::Sample),
            Some(other) => Err(unsupported("prediction_type", other, "epsilon, sample")),
        }
    }

    fn timestep_spacing(&self, class: SchedulerClass) -> Result<TimestepSpacing> {
        if class == SchedulerClass::UnClip {
            return Ok(TimestepSpacing::Linspace);
        }
        match self.timestep_spacing.as_deref() {
            None | Some("leading") => {
                Ok(TimestepSpacing::Leading { steps_offset: self.steps_offset.unwrap_or(0) })
            }
            Some("trailing") => Ok(TimestepSpacing::Trailing),
            Some("linspace") => Ok(TimestepSpacing::Linspace),
            Some(other) => Err(unsupported("timestep_spacing", other, "leading, trailing, linspace")),
        }
    }
}

fn unsupported(key: &'static str, value: &str, supported: &'static str) -> Error {
    Error::UnsupportedConfig { key, value: format!("\"{value}\""), supported }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn parse(config: Value) -> std::result::Result<SchedulerConfig, String> {
        serde_json::from_value(config).map_err(|error| error.to_string())
    }

    #[test]
    fn reads_karlos_decoder_config() {
        let config = parse(json!({
            "_class_name": "UnCLIPScheduler", "_diffusers_version": "0.15.0.dev0",
            "beta_schedule": "squaredcos_cap_v2", "clip_sample": true, "clip_sample_range": 1.0,
            "num_train_timesteps": 1000, "prediction_type": "epsilon", "variance_type": "learned_range"
        }))
        .unwrap();
        assert_eq!(config.class, SchedulerClass::UnClip);
        assert_eq!(config.variance_type, VarianceType::LearnedRange);
        assert_eq!(config.prediction_type, PredictionType::Epsilon);
        assert_eq!(config.clip_sample_range, Some(1.0));
        assert_eq!(config.timestep_spacing, TimestepSpacing::Linspace);
    }

    #[test]
    fn takes_diffusers_defaults() {
        let unclip = parse(json!({"_class_name": "UnCLIPScheduler"})).unwrap();
        assert_eq!(unclip.beta_schedule, BetaSchedule::SquaredCosCapV2);
        let ddim = parse(json!({"_class_name": "DDIMScheduler", "trained_betas": null})).unwrap();
        assert_eq!(ddim.beta_schedule, BetaSchedule::Linear { beta_start: 0.0001, beta_end: 0.02 });
        assert_eq!(ddim.timestep_spacing, TimestepSpacing::Leading { steps_offset: 0 });
        assert!(ddim.set_alpha_to_one);
        assert_eq!(ddim.clip_sample_range, Some(1.0));
    }

    #[test]
    fn a_null_is_false_or_refused() {
        let config = parse(json!({"_class_name": "UnCLIPScheduler", "clip_sample": null})).unwrap();
        assert_eq!(config.clip_sample_range, None);
        let ddim = json!({"_class_name": "DDIMScheduler", "set_alpha_to_one": null, "thresholding": null});
        assert!(!parse(ddim).unwrap().set_alpha_to_one);
        for key in ["num_train_timesteps", "variance_type", "prediction_type", "clip_sample_range"] {
            let error = parse(json!({"_class_name": "UnCLIPScheduler", key: null})).unwrap_err();
            assert!(error.contains("null"), "{key}: {error}");
        }
    }

    #[test]
    fn refusals_name_key_value_and_what_is_supported() {
        let refusals = [
            (
                json!({"_class_name": "PNDMScheduler"}),
                "`_class_name` is \"PNDMScheduler\"; supported: UnCLIP",
            ),
            (
                json!({"_class_name": "UnCLIPScheduler", "beta_schedule": "linear"}),
                "`beta_schedule` is \"linear\"",
            ),
            (
                json!({"_class_name": "DDIMScheduler", "beta_schedule": "sigmoid"}),
                "\"sigmoid\"; supported: squared",
            ),
            (json!({"_class_name": "DDIMScheduler", "thresholding": true}), "`thresholding` is \"true\""),
            (
                json!({"_class_name": "DDIMScheduler", "trained_betas": [0.1]}),
                "`trained_betas` is \"a list\"",
            ),
            (
                json!({"_class_name": "DDIMScheduler", "rescale_betas_zero_snr": true}),
                "`rescale_betas_zero_snr`",
            ),
            (
                json!({"_class_name": "DDIMScheduler", "timestep_spacing": "log"}),
                "`timestep_spacing` is \"log\"",
            ),
            (
                json!({"_class_name": "UnCLIPScheduler", "variance_type": "learned"}),
                "`variance_type` is \"learned\"",
            ),
            (json!({"_class_name": "UnCLIPScheduler", "prediction_type": "v_prediction"}), "epsilon, sample"),
            (json!({"_class_name": "UnCLIPScheduler", "num_train_timesteps": 0}), "must be 1 to 10000"),
            (json!({"_class_name": "UnCLIPScheduler", "clip_sample_range": 0}), "`clip_sample_range` is 0"),
        ];
        for (config, text) in refusals {
            let error = parse(config).unwrap_err();
            assert!(error.contains(text), "{error} lacks {text}");
        }
    }
}
