//! Intervals by resampling (Efron and Tibshirani, An Introduction to the Bootstrap, section 13.3: percentiles).

use serde::Serialize;

use crate::random::{Purpose, StepRandom};

/// Resamples of one interval.
const RESAMPLES: u64 = 2000;

/// A statistic and the 95 % percentile interval of its resamples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Of the sample itself.
    pub value: f64,
    /// The 2.5th percentile.
    pub low: f64,
    /// The 97.5th percentile.
    pub high: f64,
}

/// Draws `n` of `n` cases with replacement, again and again. `statistic` gets the drawn cases' indices; all measures of one
/// case move together, so that differences and ratios of two measures are paired. Resamples whose statistic is not finite
/// are left out.
pub fn bootstrap(seed: u64, n: usize, statistic: impl Fn(&[usize]) -> f64) -> Interval {
    let all: Vec<usize> = (0..n).collect();
    let value = statistic(&all);
    let resample = |number: u64| {
        let mut random = StepRandom::new(seed, number, Purpose::Samples);
        let drawn: Vec<usize> = (0..n).map(|_| random.below(n)).collect();
        statistic(&drawn)
    };
    let mut drawn: Vec<f64> = (0..RESAMPLES).map(resample).filter(|value| value.is_finite()).collect();
    drawn.sort_by(f64::total_cmp);
    let at =
        |per_mille: usize| drawn.get((drawn.len() * per_mille / 1000).min(drawn.len().saturating_sub(1)));
    let bound = |per_mille| at(per_mille).copied().unwrap_or(f64::NAN);
    Interval { value, low: bound(25), high: bound(975) }
}

impl Interval {
    /// Of the mean of values.
    pub fn of_mean(seed: u64, values: &[f64]) -> Self {
        bootstrap(seed, values.len(), |cases| mean(cases, values))
    }

    /// Of the ratio of two means over the same cases.
    pub fn of_ratio(seed: u64, above: &[f64], below: &[f64]) -> Self {
        bootstrap(seed, above.len().min(below.len()), |cases| mean(cases, above) / mean(cases, below))
    }

    /// Of the mean difference of two measures of the same cases.
    pub fn of_difference(seed: u64, one: &[f64], other: &[f64]) -> Self {
        let differences: Vec<f64> = one.iter().zip(other).map(|(one, other)| one - other).collect();
        Self::of_mean(seed, &differences)
    }
}

#[expect(clippy::cast_precision_loss, reason = "samples are small")]
fn mean(cases: &[usize], values: &[f64]) -> f64 {
    cases.iter().filter_map(|case| values.get(*case)).sum::<f64>() / cases.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_share_is_the_binomial_one() {
        let values: Vec<f64> = (0..400).map(|case| f64::from(u8::from(case % 4 == 0))).collect();
        let interval = Interval::of_mean(1, &values);
        assert!((interval.value - 0.25).abs() < 1e-12);
        // 1.96 sqrt(0.25 * 0.75 / 400) = 0.0424.
        assert!(
            (interval.high - 0.25 - 0.0424).abs() < 0.006 && (0.25 - interval.low - 0.0424).abs() < 0.006
        );
        assert_eq!(interval, Interval::of_mean(1, &values));
    }

    #[test]
    fn pairs_move_together() {
        let one: Vec<f64> = (0..50).map(f64::from).collect();
        let other: Vec<f64> = one.iter().map(|value| value / 2.0).collect();
        let Interval { value, low, high } = Interval::of_ratio(3, &one, &other);
        assert!([value, low, high].iter().all(|ratio| (ratio - 2.0).abs() < 1e-9));
        let lower: Vec<f64> = one.iter().map(|value| value - 3.0).collect();
        let Interval { low, high, .. } = Interval::of_difference(3, &one, &lower);
        assert!((low - 3.0).abs() < 1e-9 && (high - 3.0).abs() < 1e-9);
    }
}
