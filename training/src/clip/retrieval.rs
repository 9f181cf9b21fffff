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
}
