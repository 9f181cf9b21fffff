//! What the configuration files of all trainers have in common.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Schedule;
use crate::TrainError;
use crate::data::{Augment, Selection};
use crate::params::AdamW;

/// A data set and what is drawn from it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The file that `unclip train data` wrote.
    pub store: PathBuf,
    /// Which items take part; the split is chosen by the trainer.
    #[serde(default)]
    pub selection: Selection,
    /// How pictures and captions are varied.
    #[serde(default)]
    pub augment: Augment,
}

/// Batches, learning rate and everything the optimiser does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Optimisation {
    /// Pictures per step.
    pub batch: usize,
    /// Steps of the whole training.
    pub steps: u64,
    /// Minutes of the whole training, all slices together: it ends after these or after the steps, whichever is first.
    /// Absent: after the steps. With it a resumed training is not bit for bit the uninterrupted one.
    #[serde(default)]
    pub minutes: Option<f64>,
    /// The learning rate after the warm-up.
    pub learning_rate: f64,
    /// Steps over which the learning rate rises from zero.
    #[serde(default = "warmup")]
    pub warmup: u64,
    /// The last share of the training, in which the learning rate falls to zero.
    #[serde(default = "fall")]
    pub fall: f64,
    /// Decoupled weight decay.
    #[serde(default)]
    pub weight_decay: f64,
    /// Decay of the moments.
    #[serde(default = "betas")]
    pub betas: [f64; 2],
    /// Limit of the gradients' global norm.
    #[serde(default = "clip_norm")]
    pub clip_norm: f64,
    /// Decay of the moving average of the weights.
    #[serde(default = "ema_decay")]
    pub ema_decay: f64,
    /// Threads that each work on a part of every batch, each with one thread of its own. For networks that are bound by
    /// memory and small operations this is faster than one pass on many threads.
    #[serde(default = "replicas")]
    pub replicas: usize,
}

fn warmup() -> u64 {
    500
}

fn fall() -> f64 {
    0.3
}

fn betas() -> [f64; 2] {
    [0.9, 0.99]
}

fn clip_norm() -> f64 {
    1.0
}

fn ema_decay() -> f64 {
    0.999
}

fn replicas() -> usize {
    1
}

/// How often the loop does what is not training.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cadence {
    /// Steps between two lines of the metrics file.
    pub log_steps: u64,
    /// Minutes between two evaluations, sample sheets and loss curves.
    pub sheet_minutes: f64,
    /// Minutes between two checkpoints.
    pub checkpoint_minutes: f64,
}

impl Default for Cadence {
    fn default() -> Self {
        Self { log_steps: 50, sheet_minutes: 5.0, checkpoint_minutes: 5.0 }
    }
}

impl Optimisation {
    /// The learning rate over the training.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            peak: self.learning_rate,
            warmup: self.warmup,
            steps: self.steps,
            seconds: self.minutes.map(|minutes| minutes * 60.0),
            fall: self.fall,
        }
    }

    /// The optimiser.
    pub fn adamw(&self) -> AdamW {
        AdamW {
            betas: self.betas,
            epsilon: 1e-8,
            weight_decay: self.weight_decay,
            clip_norm: self.clip_norm,
            ema_decay: self.ema_decay,
        }
    }

    /// Adds what is wrong to `problems`.
    pub fn check(&self, problems: &mut Problems) {
        problems.expect("optimisation.batch", self.batch, self.batch >= 1, "1 or more");
        problems.expect("optimisation.steps", self.steps, self.steps >= 1, "1 or more");
        problems.expect("optimisation.replicas", self.replicas, self.replicas >= 1, "1 or more");
        let fits = self.replicas >= 1 && self.batch.is_multiple_of(self.replicas);
        problems.expect("optimisation.batch", self.batch, fits, "a multiple of optimisation.replicas");
        let unit = |value: f64| (0.0..1.0).contains(&value);
        problems.expect(
            "optimisation.learning_rate",
            self.learning_rate,
            self.learning_rate > 0.0,
            "positive",
        );
        problems.expect("optimisation.fall", self.fall, (0.0..=1.0).contains(&self.fall), "0 to 1");
        let minutes = self.minutes.unwrap_or(1.0);
        problems.expect("optimisation.minutes", minutes, minutes > 0.0 && minutes.is_finite(), "positive");
        problems.expect(
            "optimisation.weight_decay",
            self.weight_decay,
            self.weight_decay >= 0.0,
            "0 or more",
        );
        for beta in self.betas {
            problems.expect("optimisation.betas", beta, unit(beta), "0 to 1, without 1");
        }
        problems.expect("optimisation.ema_decay", self.ema_decay, unit(self.ema_decay), "0 to 1, without 1");
        problems.expect("optimisation.clip_norm", self.clip_norm, self.clip_norm > 0.0, "positive");
    }
}

impl Cadence {
    /// Adds what is wrong to `problems`.
    pub fn check(&self, problems: &mut Problems) {
        problems.expect("cadence.log_steps", self.log_steps, self.log_steps >= 1, "1 or more");
        problems.expect("cadence.sheet_minutes", self.sheet_minutes, self.sheet_minutes > 0.0, "positive");
        problems.expect(
            "cadence.checkpoint_minutes",
            self.checkpoint_minutes,
            self.checkpoint_minutes > 0.0,
            "positive",
        );
    }
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Default)]
pub struct Problems(Vec<String>);

impl Problems {
    /// Notes a key whose value does not hold.
    pub fn expect(&mut self, key: &str, value: impl std::fmt::Display, holds: bool, supported: &str) {
        if !holds {
            self.0.push(format!("{key} is {value}; it must be {supported}"));
        }
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A configuration that checks its own values.
pub trait CheckedConfig: DeserializeOwned {
    /// Notes what can't be.
    fn check(&self, problems: &mut Problems);
}

/// Reads a TOML file whole: unknown keys, wrong types and values out of range are errors, and all of the latter are told
/// at once.
///
/// # Errors
/// [`TrainError::Io`] or [`TrainError::Config`].
pub fn read_config<C: CheckedConfig>(path: &Path) -> Result<C, TrainError> {
    let text = std::fs::read_to_string(path).map_err(TrainError::io(path))?;
    let refuse = |reason: String| TrainError::Config { path: path.to_path_buf(), reason };
    let config: C = toml::from_str(&text).map_err(|error| refuse(error.to_string()))?;
    let mut problems = Problems::default();
    config.check(&mut problems);
    if problems.0.is_empty() { Ok(config) } else { Err(refuse(problems.0.join("\n"))) }
}
