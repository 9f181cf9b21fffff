//! What a U-Net predicts, and how much its error counts at each timestep.

use serde::Deserialize;
use tch::{Kind, Tensor};

use super::process::level;
use crate::run::Problems;

/// What a network's output stands for; diffusers' `prediction_type`.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Prediction {
    /// The noise (arXiv 2006.11239), as Karlo's networks.
    #[default]
    Epsilon,
    /// The clean picture x_0. A small network need not carry the noise through itself (arXiv 2511.13720).
    Sample,
}

impl Prediction {
    /// Its name in a scheduler's config.
    pub fn name(self) -> &'static str {
        match self {
            Self::Epsilon => "epsilon",
            Self::Sample => "sample",
        }
    }
}

/// What is predicted, and the weights of its squared error.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Objective {
    /// What the network predicts.
    pub prediction: Prediction,
    /// The squared error of x_0 is weighted by the signal-to-noise ratio, kept within this range: `[0, 5]` is min-SNR-5
    /// (arXiv 2303.09556), a lower end of 1 the truncated SNR (arXiv 2202.00512, section 4). Absent: the error of what is
    /// predicted, unweighted.
    pub snr: Option<[f64; 2]>,
    /// Weight of the bound that trains a learned variance. 1 is the paper's, where the noise is predicted; the noise that an
    /// x_0 implies is far off at the first timesteps, and their few rows would outweigh all others' gradients.
    pub variance_weight: f64,
}

impl Default for Objective {
    fn default() -> Self {
        Self { prediction: Prediction::default(), snr: None, variance_weight: 1.0 }
    }
}

impl Objective {
    /// Adds what is wrong to `problems`.
    pub fn check(&self, problems: &mut Problems) {
        let weight = self.variance_weight;
        problems.expect("objective.variance_weight", weight, (0.0..=10.0).contains(&weight), "0 to 10");
        let Some([low, high]) = self.snr else { return };
        let range = format!("[{low}, {high}]");
        problems.expect("objective.snr", &range, low >= 0.0 && high > low, "two numbers, 0 <= low < high");
        // The error of x_0 is that of the noise over the SNR, which is nearly 0 at the last timesteps.
        let bounded = self.prediction == Prediction::Sample || low == 0.0;
        problems.expect("objective.snr", &range, bounded, "[0, high] where the noise is predicted");
    }

    /// The loss of a prediction for x_t of `x_0` and `noise`, all `[batch, ...]`, f32; `levels` as
    /// [`super::Process::levels`].
    pub fn loss(&self, predicted: &Tensor, x_0: &Tensor, noise: &Tensor, levels: &Tensor) -> Tensor {
        let target = if self.prediction == Prediction::Sample { x_0 } else { noise };
        let errors = (predicted - target).square();
        let Some([low, high]) = self.snr else { return errors.mean(Kind::Float) };
        let snr = (level(levels, 0, noise) / level(levels, 1, noise)).square();
        let weights = snr.clamp(low, high);
        let weights = if self.prediction == Prediction::Sample { weights } else { weights / snr };
        (errors * weights).mean(Kind::Float)
    }

    /// The picture that a prediction implies for `x_t`, of the same shape.
    pub fn picture(&self, predicted: &Tensor, x_t: &Tensor, levels: &Tensor) -> Tensor {
        match self.prediction {
            Prediction::Epsilon => (x_t - predicted * level(levels, 1, x_t)) / level(levels, 0, x_t),
            Prediction::Sample => predicted.shallow_clone(),
        }
    }

    /// The noise that a prediction implies for `x_t`, of the same shape.
    pub fn noise(&self, predicted: &Tensor, x_t: &Tensor, levels: &Tensor) -> Tensor {
        match self.prediction {
            Prediction::Epsilon => predicted.shallow_clone(),
            Prediction::Sample => (x_t - predicted * level(levels, 0, x_t)) / level(levels, 1, x_t),
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::diffusion::add_noise;

    /// Two rows of SNR 9 and 1 / 9.
    fn levels() -> Tensor {
        let (high, low) = (0.9_f32.sqrt(), 0.1_f32.sqrt());
        Tensor::from_slice(&[high, low, low, high]).view([2, 2])
    }

    fn objective(prediction: Prediction, snr: Option<[f64; 2]>) -> Objective {
        Objective { prediction, snr, ..Objective::default() }
    }

    #[test]
    fn errors_weigh_what_the_range_of_snr_says() {
        let zeros = Tensor::zeros([2, 1], (Kind::Float, Device::Cpu));
        let ones = zeros.ones_like();
        let loss = |prediction, snr| {
            let loss = objective(prediction, snr).loss(&zeros, &ones, &ones, &levels());
            f64::try_from(loss).unwrap()
        };
        let cases = [
            (Prediction::Epsilon, None, 1.0),
            (Prediction::Epsilon, Some([0.0, 3.0]), (3.0 / 9.0 + 1.0) / 2.0),
            (Prediction::Sample, None, 1.0),
            (Prediction::Sample, Some([0.0, 3.0]), (3.0 + 1.0 / 9.0) / 2.0),
            (Prediction::Sample, Some([1.0, 5.0]), (5.0 + 1.0) / 2.0),
        ];
        for (prediction, snr, expected) in cases {
            let found = loss(prediction, snr);
            assert!((found - expected).abs() < 1e-5, "{prediction:?} {snr:?}: {found}");
        }
    }

    #[test]
    fn a_perfect_picture_implies_the_noise() {
        let x_0 = Tensor::from_slice(&[0.5_f32, -1.0]).view([2, 1]);
        let noise = Tensor::from_slice(&[1.5_f32, -0.3]).view([2, 1]);
        let x_t = add_noise(&x_0, &noise, &levels());
        let found = objective(Prediction::Sample, None).noise(&x_0, &x_t, &levels());
        assert!(f64::try_from((found - &noise).abs().max()).unwrap() < 1e-5);
        let found = objective(Prediction::Epsilon, None).picture(&noise, &x_t, &levels());
        assert!(f64::try_from((found - x_0).abs().max()).unwrap() < 1e-5);
    }
}
