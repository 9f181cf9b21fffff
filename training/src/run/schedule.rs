//! The learning rate over a training.

/// A linear rise, a plateau, and a linear fall to zero (arXiv 2405.18392): a training can be prolonged on the plateau, and
/// what it gains by a low rate comes in the fall.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate of the plateau.
    pub peak: f64,
    /// Steps of the rise.
    pub warmup: u64,
    /// Steps of the whole training.
    pub steps: u64,
    /// Seconds of the whole training, slices before this one included; none: as long as the steps take.
    pub seconds: Option<f64>,
    /// The share of the training in which the rate falls.
    pub fall: f64,
}

impl Schedule {
    /// How much of the training is done, 0 to 1, after `step` steps and `seconds`: by the steps or the time, whichever is
    /// further.
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
    pub fn progress(&self, step: u64, seconds: f64) -> f64 {
        let by_steps = step as f64 / self.steps.max(1) as f64;
        let by_time = self.seconds.map_or(0.0, |all| seconds / all);
        by_steps.max(by_time).min(1.0)
    }

    /// Whether the training is at its end.
    pub fn is_over(&self, step: u64, seconds: f64) -> bool {
        self.progress(step, seconds) >= 1.0
    }

    /// The learning rate of a step, counted from 0, that begins after `seconds` of training.
    #[expect(clippy::cast_precision_loss, reason = "steps are far below 2^52")]
    pub fn at(&self, step: u64, seconds: f64) -> f64 {
        let rise = (step + 1) as f64 / self.warmup.max(1) as f64;
        let left = 1.0 - self.progress(step, seconds);
        self.peak * rise.min(left / self.fall.max(f64::EPSILON)).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEDULE: Schedule = Schedule { peak: 2.0, warmup: 10, steps: 100, seconds: None, fall: 0.3 };

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn rises_stays_and_falls() {
        for (step, rate) in [(0, 0.2), (9, 2.0), (10, 2.0), (70, 2.0), (85, 1.0), (100, 0.0), (1000, 0.0)] {
            near(SCHEDULE.at(step, 1e9), rate);
        }
    }

    #[test]
    fn the_steps_or_the_time_end_it_whichever_is_first() {
        let timed = Schedule { seconds: Some(60.0), ..SCHEDULE };
        near(timed.at(20, 30.0), 2.0);
        near(timed.at(20, 51.0), 1.0);
        near(timed.at(85, 30.0), 1.0);
        assert!(!timed.is_over(99, 59.9) && timed.is_over(100, 0.0) && timed.is_over(0, 60.0));
    }
}
