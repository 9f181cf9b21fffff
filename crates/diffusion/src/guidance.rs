//! Classifier-free guidance.

use crate::error::check_len;
use crate::{Error, Result};

/// Classifier-free guidance (Ho and Salimans, arXiv 2207.12598): `uncond + scale (cond - uncond)`.
///
/// `cond` and `uncond` are the model's outputs for one row. Their last `variance_tail_len` values are the
/// predicted variance of a learned_range model: those are taken from `cond` alone (as diffusers' UnCLIPPipeline
/// does). Pass 0 for a model without one. The result has the length of `cond`.
///
/// # Errors
/// When the lengths differ, the tail is longer than the output, or `scale` isn't finite.
pub fn combine(cond: &[f32], uncond: &[f32], scale: f32, variance_tail_len: usize) -> Result<Vec<f32>> {
    check_len("uncond", uncond, cond.len())?;
    if !scale.is_finite() {
        return Err(Error::out_of_range("guidance_scale", scale, "finite"));
    }
    let Some(prediction_len) = cond.len().checked_sub(variance_tail_len) else {
        let limit = format!("at most {}, the length of `cond`", cond.len());
        return Err(Error::out_of_range("variance_tail_len", variance_tail_len, limit));
    };
    let (prediction, variance) = cond.split_at(prediction_len);
    let guided = prediction.iter().zip(uncond).map(|(c, u)| u + scale * (c - u));
    Ok(guided.chain(variance.iter().copied()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variance_comes_from_the_conditional_output() {
        let guided = combine(&[1.0, 2.0, 0.5, 0.25], &[0.0, 4.0, 9.0, 9.0], 3.0, 2);
        assert_eq!(guided, Ok(vec![3.0, -2.0, 0.5, 0.25]));
    }

    #[test]
    fn scale_zero_is_unconditional() {
        assert_eq!(combine(&[1.0, 2.0], &[0.5, 4.0], 0.0, 0), Ok(vec![0.5, 4.0]));
    }

    #[test]
    fn refuses_bad_input() {
        assert!(combine(&[1.0, 2.0], &[1.0], 1.0, 0).is_err());
        assert!(combine(&[1.0], &[1.0], f32::NAN, 0).is_err());
        let error = combine(&[1.0], &[1.0], 1.0, 2).unwrap_err();
        assert_eq!(error.to_string(), "`variance_tail_len` is 2; it must be at most 1, the length of `cond`");
    }
}
