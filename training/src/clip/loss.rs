//! The contrastive loss.

use tch::{Kind, Reduction, Tensor};

/// ln 100: the scale of the logits may not grow above 100 (arXiv 2103.00020, section 2.5).
const LARGEST_SCALE: f64 = 4.605_170_185_988_092;

/// ln(1 / 0.07), where the scale starts (arXiv 2103.00020, section 2.5).
pub(crate) const FIRST_SCALE: f32 = 2.659_260_1;

/// The symmetric cross-entropy between pictures and captions (arXiv 2103.00020, figure 3), of embeddings
/// `[batch, dim]` each, row by row belonging together, and the logarithm of the scale. The loss, the scale.
pub fn contrastive(pictures: &Tensor, texts: &Tensor, log_scale: &Tensor) -> (Tensor, Tensor) {
    let scale = log_scale.to_kind(Kind::Float).clamp_max(LARGEST_SCALE).exp();
    let logits = unit(pictures).matmul(&unit(texts).transpose(0, 1)) * &scale;
    let target = Tensor::arange(logits.size()[0], (Kind::Int64, logits.device()));
    let entropy =
        |logits: &Tensor| logits.cross_entropy_loss(&target, None::<Tensor>, Reduction::Mean, -100, 0.0);
    ((entropy(&logits) + entropy(&logits.transpose(0, 1))) / 2.0, scale)
}

/// The scale out of its logarithm, as [`contrastive`] takes it.
pub(crate) fn scale_of(log_scale: &Tensor) -> Result<f32, tch::TchError> {
    let scale = log_scale.f_to_kind(Kind::Float)?.f_clamp_max(LARGEST_SCALE)?.f_exp()?;
    f32::try_from(scale.f_reshape([-1])?.f_mean(Kind::Float)?)
}

/// Rows of unit length, f32.
pub(crate) fn unit(rows: &Tensor) -> Tensor {
    let rows = rows.to_kind(Kind::Float);
    let norm = rows.square().sum_dim_intlist(-1, true, Kind::Float).sqrt().clamp_min(1e-6);
    rows / norm
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn pairs_that_match_have_no_loss() {
        let eye = Tensor::eye(4, (Kind::Float, Device::Cpu));
        let loss = |log_scale: f32| {
            f64::try_from(contrastive(&eye, &eye, &Tensor::from_slice(&[log_scale])).0).unwrap()
        };
        // Four logits, one of them 1 * scale: ln(1 + 3 exp(-scale)).
        assert!((loss(0.0) - (1.0 + 3.0 * (-1.0_f64).exp()).ln()).abs() < 1e-5);
        assert!(loss(9.0) < 1e-6, "clamped at 100");
    }
}
