//! The Fréchet distance between two sets of features (Heusel et al., arXiv 1706.08500, section 3).

use tch::{Kind, Tensor};

use crate::TrainError;
use crate::params::to_i64;

/// `|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))` of features `[n, dim]` and `[m, dim]`, n and m above 1. It shrinks as
/// samples grow: compare only distances between sets of the same sizes.
///
/// # Errors
/// libtorch refuses an operation, as for another `dim` or values that are not finite.
pub fn frechet_distance(one: &Tensor, other: &Tensor) -> Result<f64, TrainError> {
    let ((mean1, cov1), (mean2, cov2)) = (moments(one)?, moments(other)?);
    let means = f64::try_from((mean1 - mean2).square().sum(Kind::Double))?;
    let trace = |matrix: &Tensor| Ok::<_, TrainError>(f64::try_from(matrix.f_trace()?)?);
    // tr (C1 C2)^(1/2) = tr (C1^(1/2) C2 C1^(1/2))^(1/2), and the latter is symmetric.
    let root = square_root(&cov1)?;
    let mixed = root.f_matmul(&cov2)?.f_matmul(&root)?;
    Ok(means + trace(&cov1)? + trace(&cov2)? - 2.0 * trace(&square_root(&mixed)?)?)
}

/// Mean `[dim]` and unbiased covariance `[dim, dim]`, f64.
fn moments(features: &Tensor) -> Result<(Tensor, Tensor), TrainError> {
    let features = features.f_to_kind(Kind::Double)?;
    let mean = features.f_mean_dim([0_i64].as_slice(), false, Kind::Double)?;
    let rows = &features - &mean;
    let count = usize::try_from(features.size()[0]).unwrap_or_default();
    let covariance = rows.f_transpose(0, 1)?.f_matmul(&rows)?.f_div_scalar(to_i64(count.max(2) - 1))?;
    Ok((mean, covariance))
}

/// Of a symmetric matrix without negative eigenvalues, by its eigenvectors; negative ones are rounding errors.
fn square_root(matrix: &Tensor) -> Result<Tensor, TrainError> {
    let symmetric = (matrix + matrix.f_transpose(0, 1)?) / 2.0;
    let (values, vectors) = symmetric.f_linalg_eigh("L")?;
    let scaled = &vectors * values.clamp_min(0.0).sqrt();
    Ok(scaled.f_matmul(&vectors.f_transpose(0, 1)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(one: &[f64], other: &[f64]) -> f64 {
        let tensor = |values: &[f64]| Tensor::from_slice(values).view([-1, 2]);
        frechet_distance(&tensor(one), &tensor(other)).unwrap()
    }

    #[test]
    fn independent_axes_add_up() {
        // Variances 2 and 8 against 8 and 8 of three rows' worth: corners of rectangles around (0, 0) and (1, 0).
        let corners = |x: f64, y: f64, at: f64| [at - x, -y, at + x, -y, at - x, y, at + x, y];
        // Four rows: the unbiased variance of +-x is 4 x^2 / 3.
        let (one, other) = (corners(1.0, 2.0, 0.0), corners(2.0, 2.0, 1.0));
        let deviation = (4.0_f64 / 3.0).sqrt();
        assert!((distance(&one, &other) - 1.0 - deviation.powi(2)).abs() < 1e-9);
        assert!(distance(&one, &one).abs() < 1e-9);
    }

    #[test]
    fn correlated_axes_are_rotated_ones() {
        let rotate = |rows: &[f64]| -> Vec<f64> {
            rows.chunks(2)
                .flat_map(|row| [0.6 * row[0] - 0.8 * row[1], 0.8 * row[0] + 0.6 * row[1]])
                .collect()
        };
        let one = [0.0, 1.0, 3.0, -1.0, 2.0, 2.0, -4.0, 0.5];
        let other = [1.0, 1.0, 0.0, -2.0, 5.0, 2.0, -1.0, 1.5];
        let difference = distance(&one, &other) - distance(&rotate(&one), &rotate(&other));
        assert!(difference.abs() < 1e-9, "{difference}");
    }
}
