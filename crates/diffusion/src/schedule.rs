//! Noise schedules: the tables beta, alpha = 1 - beta and the running product of alpha.

use crate::error::check_len;
use crate::{Error, Result};

/// The largest beta of the cosine schedule (Nichol and Dhariwal, arXiv 2102.09672, section 3.2).
const MAX_BETA: f64 = 0.999;

/// The offset `s` of the cosine schedule (arXiv 2102.09672, equation 17).
const COSINE_OFFSET: f64 = 0.008;

/// The noise levels of a diffusion process (Ho et al., arXiv 2006.11239, section 2): one entry per
/// training timestep, least noise first.
///
/// Every table is `f32`, bit for bit the tables of diffusers on torch. `alphas_cumprod` lies strictly
/// between 0 and 1, so that no sampler divides by zero.
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    betas: Vec<f32>,
    alphas: Vec<f32>,
    alphas_cumprod: Vec<f32>,
}

impl NoiseSchedule {
    /// The cosine schedule, capped at beta 0.999 (arXiv 2102.09672, equation 17; `squaredcos_cap_v2` in
    /// diffusers), which unCLIP uses. The betas are computed in `f64` and stored as `f32`.
    ///
    /// # Errors
    /// When `num_train_timesteps` gives no usable table, see [`NoiseSchedule::from_betas`].
    pub fn squaredcos_cap_v2(num_train_timesteps: u32) -> Result<Self> {
        let n = f64::from(num_train_timesteps);
        let beta = |i: u32| {
            let (start, end) = (f64::from(i) / n, f64::from(i + 1) / n);
            to_f32((1.0 - cosine_alpha_bar(end) / cosine_alpha_bar(start)).min(MAX_BETA))
        };
        Self::from_betas((0..num_train_timesteps).map(beta).collect())
    }

    /// Betas evenly spaced from `beta_start` to `beta_end` (arXiv 2006.11239, section 4).
    ///
    /// # Errors
    /// As [`NoiseSchedule::from_betas`].
    pub fn linear(num_train_timesteps: u32, beta_start: f64, beta_end: f64) -> Result<Self> {
        Self::from_betas(linspace(to_f32(beta_start), to_f32(beta_end), num_train_timesteps))
    }

    /// Betas whose square roots are evenly spaced (latent diffusion, arXiv 2112.10752).
    ///
    /// # Errors
    /// As [`NoiseSchedule::from_betas`].
    pub fn scaled_linear(num_train_timesteps: u32, beta_start: f64, beta_end: f64) -> Result<Self> {
        let roots = linspace(to_f32(beta_start.sqrt()), to_f32(beta_end.sqrt()), num_train_timesteps);
        Self::from_betas(roots.into_iter().map(|root| root * root).collect())
    }

    /// The schedule with the given betas.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when there are no betas, or the product of alphas leaves the open interval
    /// (0, 1) in `f32`: a beta that isn't between 0 and 1, or so many large ones that the product vanishes.
    pub fn from_betas(betas: Vec<f32>) -> Result<Self> {
        if betas.is_empty() {
            return Err(Error::out_of_range("num_train_timesteps", 0, "at least 1"));
        }
        let alphas: Vec<f32> = betas.iter().map(|beta| 1.0 - beta).collect();
        let alphas_cumprod = cumprod(&alphas);
        for (t, (beta, alpha_bar)) in betas.iter().zip(&alphas_cumprod).enumerate() {
            if !(*beta > 0.0 && *beta < 1.0 && *alpha_bar > 0.0 && *alpha_bar < 1.0) {
                let value = format!("{beta} at timestep {t}, alphas_cumprod {alpha_bar}");
                return Err(Error::out_of_range(
                    "beta",
                    value,
                    "between 0 and 1, as must the product of 1 - beta",
                ));
            }
        }
        Ok(Self { betas, alphas, alphas_cumprod })
    }

    /// The number of training timesteps, Karlo's 1000.
    #[must_use]
    pub fn num_train_timesteps(&self) -> usize {
        self.betas.len()
    }

    /// The variances of the forward process, `[num_train_timesteps]`.
    #[must_use]
    pub fn betas(&self) -> &[f32] {
        &self.betas
    }

    /// `1 - betas`, `[num_train_timesteps]`.
    #[must_use]
    pub fn alphas(&self) -> &[f32] {
        &self.alphas
    }

    /// The running product of `alphas`, `[num_train_timesteps]`: the share of signal power left.
    #[must_use]
    pub fn alphas_cumprod(&self) -> &[f32] {
        &self.alphas_cumprod
    }

    /// A sample of the forward process, x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) noise
    /// (arXiv 2006.11239, equation 4; `add_noise` in diffusers). `x_0`, `noise` and the result have one length.
    ///
    /// # Errors
    /// When the lengths differ or `t` isn't a training timestep.
    pub fn q_sample(&self, x_0: &[f32], noise: &[f32], t: u32) -> Result<Vec<f32>> {
        check_len("noise", noise, x_0.len())?;
        let Some(alpha_bar) = self.alphas_cumprod.get(t as usize) else {
            return Err(timestep_error(t, self.num_train_timesteps()));
        };
        let (signal, spread) = (alpha_bar.sqrt(), (1.0 - alpha_bar).sqrt());
        Ok(x_0.iter().zip(noise).map(|(x, n)| signal * x + spread * n).collect())
    }

    /// The forward process from timestep `from` to a noisier one, x_to = sqrt(r) x_from + sqrt(1 - r) noise with r the
    /// ratio of their alphas_cumprod (arXiv 2006.11239, equation 2, over the timesteps between; the jump back of
    /// RePaint, arXiv 2201.09865, algorithm 1). `x`, `noise` and the result have one length.
    ///
    /// # Errors
    /// When the lengths differ, a timestep isn't a training timestep, or `to` isn't above `from`.
    pub fn renoise(&self, x: &[f32], noise: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
        check_len("noise", noise, x.len())?;
        if to <= from {
            return Err(Error::out_of_range("to", to, format!("above {from}, the timestep it starts from")));
        }
        let alpha_bar = |t: u32| {
            let alpha_bar = self.alphas_cumprod.get(t as usize).copied();
            alpha_bar.ok_or_else(|| timestep_error(t, self.num_train_timesteps()))
        };
        let ratio = alpha_bar(to)? / alpha_bar(from)?;
        let (signal, spread) = (ratio.sqrt(), (1.0 - ratio).sqrt());
        Ok(x.iter().zip(noise).map(|(x, n)| signal * x + spread * n).collect())
    }
}

pub(crate) fn timestep_error(t: u32, num_train_timesteps: usize) -> Error {
    Error::out_of_range("timestep", t, format!("below {num_train_timesteps}"))
}

/// Equation 17 of arXiv 2102.09672, at `t` in [0, 1]; its constant factor cancels in a beta.
fn cosine_alpha_bar(t: f64) -> f64 {
    ((t + COSINE_OFFSET) / (1.0 + COSINE_OFFSET) * std::f64::consts::FRAC_PI_2).cos().powi(2)
}

/// `torch.cumprod` on the CPU accumulates in `f64` and rounds each output: 991 of Karlo's 1000 entries
/// differ when the running product itself is `f32`.
fn cumprod(values: &[f32]) -> Vec<f32> {
    let mut product = 1.0_f64;
    let next = |value: &f32| {
        product *= f64::from(*value);
        to_f32(product)
    };
    values.iter().map(next).collect()
}

/// `torch.linspace` in `f32`: from both ends to the middle, with a fused multiply-add.
fn linspace(start: f32, end: f32, n: u32) -> Vec<f32> {
    if n == 1 {
        return vec![start];
    }
    let step = (end - start) / n.saturating_sub(1) as f32;
    let value = |i: u32| match i < n / 2 {
        true => step.mul_add(i as f32, start),
        false => (-step).mul_add((n - 1 - i) as f32, end),
    };
    (0..n).map(value).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "rounding to the table's precision is the purpose")]
fn to_f32(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_unusable_betas() {
        assert!(NoiseSchedule::squaredcos_cap_v2(0).is_err());
        assert!(NoiseSchedule::linear(10, -0.1, 0.02).is_err());
        assert!(NoiseSchedule::linear(10, 0.1, f64::NAN).is_err());
        assert!(NoiseSchedule::linear(10, 1e-12, 0.02).is_err(), "1 - beta is 1 in f32");
        let vanished = NoiseSchedule::linear(1000, 0.5, 0.99).unwrap_err().to_string();
        assert!(vanished.contains("alphas_cumprod 0"), "{vanished}");
    }

    #[test]
    fn q_sample_refuses_bad_input() {
        let schedule = NoiseSchedule::squaredcos_cap_v2(1000).unwrap();
        assert_eq!(
            schedule.q_sample(&[0.0; 3], &[0.0; 2], 0),
            Err(Error::Length { field: "noise", actual: 2, expected: 3 })
        );
        let error = schedule.q_sample(&[0.0], &[0.0], 1000).unwrap_err();
        assert_eq!(error.to_string(), "`timestep` is 1000; it must be below 1000");
    }

    #[test]
    fn renoising_a_noised_sample_is_noising_it_at_once() {
        let schedule = NoiseSchedule::squaredcos_cap_v2(1000).unwrap();
        // Without noise what is left is the signal.
        let low = schedule.q_sample(&[2.0], &[0.0], 100).unwrap();
        let high = schedule.renoise(&low, &[0.0], 100, 600).unwrap();
        let expected = schedule.q_sample(&[2.0], &[0.0], 600).unwrap();
        assert!((high[0] - expected[0]).abs() < 1e-6, "{high:?} {expected:?}");
        // The variances add up.
        let spread = schedule.q_sample(&[0.0], &[1.0], 100).unwrap()[0];
        let kept = schedule.renoise(&[spread], &[0.0], 100, 600).unwrap()[0];
        let fresh = schedule.renoise(&[0.0], &[1.0], 100, 600).unwrap()[0];
        let expected = schedule.q_sample(&[0.0], &[1.0], 600).unwrap()[0];
        assert!((kept.hypot(fresh) - expected).abs() < 1e-6);
    }

    #[test]
    fn renoise_refuses_bad_input() {
        let schedule = NoiseSchedule::squaredcos_cap_v2(1000).unwrap();
        let error = |from, to| schedule.renoise(&[0.0], &[0.0], from, to).unwrap_err().to_string();
        assert_eq!(error(5, 5), "`to` is 5; it must be above 5, the timestep it starts from");
        assert_eq!(error(5, 1000), "`timestep` is 1000; it must be below 1000");
        assert!(schedule.renoise(&[0.0], &[], 1, 2).is_err());
    }

    #[test]
    fn a_single_timestep_is_a_schedule() {
        assert_eq!(NoiseSchedule::linear(1, 0.1, 0.2).unwrap().betas(), [0.1]);
    }
}
