//! Retrieval: how often the caption of a picture finds it.

use tch::{Kind, Tensor};

use super::loss::unit;
use crate::TrainError;

/// Shares of queries whose partner is the first, or among the first five.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// R@1.
    pub at_1: f64,
    /// R@5.
    pub at_5: f64,
}

/// Looks for row `i` of `candidates` with row `i` of `queries`, both `[items, dim]`, by cosine.
///
/// # Errors
/// libtorch refuses an operation.
pub fn recall(queries: &Tensor, candidates: &Tensor) -> Result<Recall, TrainError> {
    let similarity = unit(queries).f_matmul(&unit(candidates).f_transpose(0, 1)?)?;
    let own = similarity.diagonal(0, 0, 1).unsqueeze(1);
    let better = similarity.f_gt_tensor(&own)?.sum_dim_intlist(1, false, Kind::Int64);
    let share = |limit: i64| f64::try_from(better.lt(limit).to_kind(Kind::Float).mean(Kind::Float));
    Ok(Recall { at_1: share(1)?, at_5: share(5)? })
}

/// In how many directions embeddings `[items, dim]` spread: the participation ratio of the eigenvalues of their covariance,
/// (sum)^2 / sum of squares. It is `dim` where all directions carry the same, and 1 where one carries everything.
///
/// # Errors
/// libtorch refuses an operation.
pub(super) fn directions(embeddings: &Tensor) -> Result<f64, TrainError> {
    let centred = embeddings.to_kind(Kind::Float);
    let centred = &centred - centred.mean_dim([0_i64].as_slice(), true, Kind::Float);
    let covariance = centred.transpose(0, 1).f_matmul(&centred)?;
    // The trace is the sum of the eigenvalues, the squared Frobenius norm that of their squares.
    let (sum, squares) = (covariance.trace(), covariance.square().sum(Kind::Float));
    Ok(f64::try_from(sum.square() / squares)?)
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;

    #[test]
    fn counts_ranks() {
        let eye = Tensor::eye(10, (Kind::Float, Device::Cpu));
        assert_eq!(recall(&eye, &eye).unwrap(), Recall { at_1: 1.0, at_5: 1.0 });
        let off = &eye * 0.5 + eye.roll([1], [0]);
        assert_eq!(recall(&eye, &off).unwrap(), Recall { at_1: 0.0, at_5: 1.0 });
    }

    #[test]
    fn counts_directions() {
        let both_ways = |rows: Tensor| Tensor::cat(&[&rows, &(-&rows)], 0);
        let ratio = |rows: Tensor| directions(&both_ways(rows)).unwrap();
        assert!((ratio(Tensor::eye(6, (Kind::Float, Device::Cpu))) - 6.0).abs() < 1e-4);
        assert!((ratio(Tensor::ones([5, 6], (Kind::Float, Device::Cpu))) - 1.0).abs() < 1e-4);
    }
}
