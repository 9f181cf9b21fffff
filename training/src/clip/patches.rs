//! A patch embedding that starts as the data's principal components.

use tch::{Kind, Tensor};

use crate::TrainError;

/// Directions with less than this share of the largest variance are not scaled up any further.
const FLOOR: f64 = 1e-4;

/// A kernel `[width, channels, patch, patch]` whose outputs on patches of `pictures` `[count, channels, side, side]` are
/// uncorrelated and of unit variance: their principal components, the strongest first. What `width` exceeds their number
/// keeps its values from `kernel`.
///
/// A learned scale in front of the first layer norm can't do this: the components of a patch differ in variance by
/// orders of magnitude, and the norm sees all of them together.
///
/// # Errors
/// libtorch can't decompose the covariance.
pub(super) fn whitened(kernel: &Tensor, pictures: &Tensor) -> Result<Tensor, TrainError> {
    let size = kernel.size();
    let (width, patch) = (size[0], size[2]);
    let patches = pictures.f_unfold(2, patch, patch)?.f_unfold(3, patch, patch)?;
    let patches = patches.permute([0, 2, 3, 1, 4, 5]).reshape([-1, size[1] * patch * patch]);
    let patches = patches.to_kind(Kind::Double);
    let count = patches.size()[0];
    #[expect(clippy::cast_precision_loss, reason = "patches are counted in thousands")]
    let moments = patches.transpose(0, 1).f_matmul(&patches)? / count as f64;
    let (variances, directions) = moments.f_linalg_eigh("L")?;
    let floor = f64::try_from(variances.max())? * FLOOR;
    let scaled = directions / variances.clamp_min(floor).sqrt();
    // Eigenvalues ascend, so the strongest are the last columns.
    let rows = scaled.transpose(0, 1).flip([0]).to_kind(Kind::Float);
    let rows = rows.narrow(0, 0, width.min(rows.size()[0]));
    let result = kernel.copy();
    let shape = [rows.size()[0], size[1], patch, patch];
    result.narrow(0, 0, rows.size()[0]).copy_(&rows.reshape(shape));
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, StepRandom};

    #[test]
    fn outputs_are_uncorrelated() {
        let mut random = StepRandom::new(1, 0, Purpose::Pictures);
        let noise = random.normal(&[64, 3, 8, 8]);
        let smooth = noise.avg_pool2d(3, 1, 1, false, true, None::<i64>) + 0.5;
        let kernel = Tensor::zeros([16, 3, 4, 4], (Kind::Float, tch::Device::Cpu));
        let kernel = whitened(&kernel, &smooth).unwrap();
        let out = smooth.conv2d(&kernel, None::<Tensor>, 4, 0, 1, 1);
        let rows = out.permute([0, 2, 3, 1]).reshape([-1, 16]);
        let covariance = rows.transpose(0, 1).matmul(&rows) / f64::from(64 * 4);
        let eye = Tensor::eye(16, (Kind::Float, tch::Device::Cpu));
        let difference = f64::try_from((covariance - eye).abs().max()).unwrap();
        assert!(difference < 1e-3, "{difference}");
    }
}
