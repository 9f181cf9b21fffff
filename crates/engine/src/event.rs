//! What a job tells while it runs, and at its end.

use unclip_diffusion::noise::NoisePosition;

/// News of a running job. In all of them `step` counts the steps taken; with a resumed job those before the
/// checkpoint too.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Sent on admission, and after every step.
    Progress {
        /// The steps taken.
        step: u32,
        /// The run's number of steps.
        steps: u32,
    },
    /// The current estimate of the noiseless sample; not after the last step.
    Preview {
        /// The steps taken.
        step: u32,
        /// The estimate, `[sample_len]`.
        x_0: Vec<f32>,
    },
    /// All that another engine needs to go on from here, see [`Start::Resume`](crate::Start::Resume); not after
    /// the last step.
    Checkpoint {
        /// The steps taken, so the index of the step that comes next.
        step: u32,
        /// The noisy sample, `[sample_len]`.
        x_t: Vec<f32>,
        /// Where the row's noise generator stands.
        noise: NoisePosition,
    },
}

/// A finished job.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The sample, `[sample_len]`.
    pub sample: Vec<f32>,
    /// Where the row's noise generator stands, for the next stage to go on.
    pub noise: NoisePosition,
}
