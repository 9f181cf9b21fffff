//! The progress bar.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// Steps done, rate and time left, on a terminal.
pub(super) struct Progress(ProgressBar);

const TEMPLATE: &str = "{prefix} [{bar:30}] {pos}/{len} steps, {msg}";

impl Progress {
    pub(super) fn new(name: &'static str, step: u64, steps: u64) -> Self {
        let bar = ProgressBar::new(steps).with_prefix(name).with_position(step);
        if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
            bar.set_style(style.progress_chars("=> "));
        }
        Self(bar)
    }

    /// `rate` is in pictures per second, `left` what remains of the steps or of the time allowed, whichever is less.
    pub(super) fn update(&self, step: u64, loss: f64, rate: f64, left: Duration) {
        self.0.set_position(step);
        let minutes = left.as_secs() / 60;
        let left = format!("{}:{:02}:{:02}", minutes / 60, minutes % 60, left.as_secs() % 60);
        self.0.set_message(format!("loss {loss:.4}, {rate:.0} pictures/s, {left} left"));
    }

    /// Prints a line above the bar.
    pub(super) fn note(&self, text: &str) {
        self.0.suspend(|| tracing::info!("{text}"));
    }

    pub(super) fn finish(&self) {
        self.0.abandon();
    }
}
