//! The learning rate over the steps.

/// A linear rise, then half a cosine (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The highest learning rate.
    pub peak: f64,
    /// Steps of the rise.
    pub warmup: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// The last learning rate, as a share of the highest.
    pub final_share: f64,
}

impl Schedule {
    /// The learning rate of a step, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warmup {
            return self.peak * (step + 1) as f64 / self.warmup as f64;
        }
        let length = self.steps.saturating_sub(self.warmup).max(1);
        let share = ((step - self.warmup) as f64 / length as f64).min(1.0);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * share).cos());
        self.peak * (self.final_share + (1.0 - self.final_share) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_and_falls() {
        let schedule = Schedule { peak: 2.0, warmup: 10, steps: 110, final_share: 0.1 };
        assert!((schedule.at(0) - 0.2).abs() < 1e-9);
        assert!((schedule.at(9) - 2.0).abs() < 1e-9);
        assert!((schedule.at(10) - 2.0).abs() < 1e-9);
        assert!((schedule.at(60) - 1.1).abs() < 1e-9);
        assert!((schedule.at(110) - 0.2).abs() < 1e-9);
        assert!((schedule.at(1000) - 0.2).abs() < 1e-9);
    }
}
