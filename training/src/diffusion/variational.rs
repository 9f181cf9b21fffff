//! The loss that trains a learned variance.

use tch::{Kind, Tensor};

use super::process::level;

/// The variational bound of "Improved Denoising Diffusion Probabilistic Models" (arXiv 2102.09672, section 3.1): the
/// divergence, in bits per value, of p(x_{t-1} | x_t) from the true posterior, with the mean held fixed. Times
/// lambda = 0.001 and the 1000 timesteps it is added as it is.
///
/// `noise` and the prediction's two halves `predicted` and `variance` are `[batch, ...]`, f32. Both means are the same
/// function of x_t and the noise (arXiv 2006.11239, equation 11), so their difference is a multiple of the difference in
/// noise. Rows at timestep 0 are left out: the sampler adds no noise there.
///
/// A `variance` outside -1 to 1 counts as the nearer end and costs its squared distance: where errors are large the bound
/// wants more than beta, and with the strides of few steps a sampler would turn that into noise without limit.
pub fn variance_bound(
    noise: &Tensor,
    predicted: &Tensor,
    variance: &Tensor,
    levels: &Tensor,
    timesteps: &Tensor,
) -> Tensor {
    let (smallest, largest) = (level(levels, 3, noise), level(levels, 4, noise));
    // Equation 15, with the network's -1 to 1 as 0 to 1.
    let inside = variance.clamp(-1.0, 1.0);
    let outside = (variance - &inside).square().mean(Kind::Float);
    let share = (inside + 1.0) / 2.0;
    let log_variance: Tensor = &share * &largest + (1.0 - &share) * &smallest;
    let shift = (noise - predicted.detach()) * level(levels, 2, noise);
    let inverse = log_variance.neg().exp();
    let divergence =
        (&log_variance - &smallest + smallest.exp() * &inverse + shift.square() * &inverse - 1.0) * 0.5;
    let has_noise = timesteps.gt(0).to_kind(Kind::Float);
    let dims: Vec<i64> = (1..).take(noise.dim() - 1).collect();
    let rows = divergence.mean_dim(dims.as_slice(), false, Kind::Float) / std::f64::consts::LN_2;
    (rows * has_noise).mean(Kind::Float) + outside
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diffusion::Process;

    fn bound(variance: f32, error: f64) -> f64 {
        let process = Process::new().unwrap();
        let draw = process.draw(3, 0, &[4, 3, 2, 2]).unwrap();
        let variance = Tensor::full([4, 3, 2, 2], f64::from(variance), (Kind::Float, tch::Device::Cpu));
        let predicted = &draw.noise + error;
        let bound = variance_bound(&draw.noise, &predicted, &variance, &draw.levels, &draw.timesteps);
        f64::try_from(bound).unwrap()
    }

    #[test]
    fn the_true_posterior_has_no_divergence() {
        assert!(bound(-1.0, 0.0).abs() < 1e-5, "the smallest variance is the posterior's");
    }

    #[test]
    fn a_variance_of_beta_diverges_as_two_normals_do() {
        let levels = Process::new().unwrap().levels(2);
        let zeros = Tensor::zeros([1, 3], (Kind::Float, tch::Device::Cpu));
        let (table, timesteps) = (Tensor::from_slice(&levels).view([1, 5]), Tensor::from_slice(&[2_i64]));
        let found =
            f64::try_from(variance_bound(&zeros, &zeros, &zeros.ones_like(), &table, &timesteps)).unwrap();
        let ratio = f64::from(levels[4] - levels[3]);
        let expected = 0.5 * (ratio + (-ratio).exp() - 1.0) / std::f64::consts::LN_2;
        assert!((found - expected).abs() < 1e-5, "{found} {expected}");
    }

    #[test]
    fn leaving_the_range_costs_and_gains_nothing() {
        let excess = bound(3.0, 1.0) - bound(1.0, 1.0);
        assert!((excess - 4.0).abs() < 1e-4, "{excess}");
    }

    #[test]
    fn an_uncertain_mean_wants_more_variance() {
        assert!(bound(-0.9, 1.0) < bound(-1.0, 1.0));
    }
}
