//! Which training timesteps a run of few steps visits.

use crate::{Error, Result};

/// How a run's timesteps are spread over the training timesteps (Lin et al., arXiv 2305.08891, table 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestepSpacing {
    /// Evenly from the last timestep to 0, both included. diffusers' UnCLIPScheduler always does this.
    Linspace,
    /// Multiples of `T / num_steps`, rounded down, plus `steps_offset`; the last timestep is left out.
    Leading {
        /// Added to every timestep.
        steps_offset: u32,
    },
    /// From the last timestep down in equal parts; timestep 0 is left out.
    Trailing,
}

impl TimestepSpacing {
    /// `num_steps` strictly decreasing timesteps below `num_train_timesteps`. Halves round to even, as in numpy.
    ///
    /// One step with [`TimestepSpacing::Linspace`] is `[num_train_timesteps - 1]`, pure noise to x_0 at once.
    /// There the references have no answer: UnCLIPScheduler divides by zero, DDIMScheduler starts at 0.
    ///
    /// # Errors
    /// [`Error::OutOfRange`] when `num_steps` is 0 or above `num_train_timesteps`, or the offset reaches
    /// beyond the last timestep.
    pub fn timesteps(self, num_steps: u32, num_train_timesteps: u32) -> Result<Vec<u32>> {
        if num_steps == 0 || num_steps > num_train_timesteps {
            return Err(Error::out_of_range("num_steps", num_steps, format!("1 to {num_train_timesteps}")));
        }
        match self {
            Self::Linspace => Ok(linspace(num_steps, num_train_timesteps)),
            Self::Leading { steps_offset } => leading(num_steps, num_train_timesteps, steps_offset),
            Self::Trailing => Ok(trailing(num_steps, num_train_timesteps)),
        }
    }
}

fn linspace(num_steps: u32, num_train_timesteps: u32) -> Vec<u32> {
    let last = num_train_timesteps - 1;
    if num_steps == 1 {
        return vec![last];
    }
    let ratio = f64::from(last) / f64::from(num_steps - 1);
    (0..num_steps).rev().map(|i| round(f64::from(i) * ratio)).collect()
}

fn leading(num_steps: u32, num_train_timesteps: u32, steps_offset: u32) -> Result<Vec<u32>> {
    let ratio = num_train_timesteps / num_steps;
    let first = (num_steps - 1) * ratio;
    if steps_offset >= num_train_timesteps - first {
        let limit = format!("below {} for {num_steps} steps", num_train_timesteps - first);
        return Err(Error::out_of_range("steps_offset", steps_offset, limit));
    }
    Ok((0..num_steps).rev().map(|i| i * ratio + steps_offset).collect())
}

fn trailing(num_steps: u32, num_train_timesteps: u32) -> Vec<u32> {
    let train = f64::from(num_train_timesteps);
    // numpy.arange walks in the rounded difference of its first two values.
    let delta = (train - train / f64::from(num_steps)) - train;
    (0..num_steps).map(|i| round(train + f64::from(i) * delta) - 1).collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and num_train_timesteps"
)]
fn round(value: f64) -> u32 {
    value.round_ties_even() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_step_starts_at_pure_noise() {
        assert_eq!(TimestepSpacing::Linspace.timesteps(1, 1000), Ok(vec![999]));
        assert_eq!(TimestepSpacing::Trailing.timesteps(1, 1000), Ok(vec![999]));
    }

    #[test]
    fn every_count_gives_decreasing_timesteps() {
        let spacings = [
            TimestepSpacing::Linspace,
            TimestepSpacing::Leading { steps_offset: 0 },
            TimestepSpacing::Trailing,
        ];
        for (spacing, num_steps) in spacings.into_iter().flat_map(|s| (1..=1000).map(move |n| (s, n))) {
            let timesteps = spacing.timesteps(num_steps, 1000).unwrap();
            assert_eq!(timesteps.len(), num_steps as usize);
            assert!(timesteps.is_sorted_by(|a, b| a > b) && timesteps[0] < 1000, "{spacing:?} {num_steps}");
        }
    }

    #[test]
    fn refuses_impossible_counts() {
        let error = TimestepSpacing::Linspace.timesteps(0, 1000).unwrap_err();
        assert_eq!(error.to_string(), "`num_steps` is 0; it must be 1 to 1000");
        assert!(TimestepSpacing::Trailing.timesteps(1001, 1000).is_err());
        let error = TimestepSpacing::Leading { steps_offset: 1 }.timesteps(1000, 1000).unwrap_err();
        assert_eq!(error.to_string(), "`steps_offset` is 1; it must be below 1 for 1000 steps");
    }
}
