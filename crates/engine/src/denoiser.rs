//! What the engine asks of a model.

use crate::DenoiseError;

/// A model that predicts, for each lane, what the sampler needs to take one step.
///
/// It is built on the engine's thread and stays there, so it need not be `Send`. A panic in any method fails the
/// rows concerned; the engine goes on using the denoiser afterwards.
pub trait Denoiser: 'static {
    /// What a job brings along: embeddings, an image to upsample.
    type Condition: Send + 'static;
    /// What the device keeps of it as long as the job runs, such as projected keys and values.
    type Context: 'static;

    /// Readies a job's condition, once. With `guided` its unconditional branch will be asked for too.
    ///
    /// # Errors
    /// [`DenoiseError::Condition`] when the condition doesn't fit the model; the job then fails alone.
    fn prepare(&mut self, condition: Self::Condition, guided: bool) -> Result<Self::Context, DenoiseError>;

    /// Rows go in one forward only where their keys agree. Needed where a step runs another network, as the last
    /// step of Karlo's upsampler does.
    fn batch_key(&self, step: StepView) -> u32 {
        let _ = step;
        0
    }

    /// The raw output of every lane, in the lanes' order: `[sample_len]`, or `[2 sample_len]` with the variance
    /// half behind the prediction where the job's sampler expects one.
    ///
    /// A lane's output should depend on that lane alone. There is at least one lane, and there are at most
    /// `max_lanes`, save that a guided row comes with two where `max_lanes` is 1.
    ///
    /// # Errors
    /// Any error fails all rows of the batch.
    fn forward(&mut self, lanes: &[Lane<'_, Self::Context>]) -> Result<Vec<Vec<f32>>, DenoiseError>;
}

/// One input of a forward: a row's sample with its condition, or without it.
#[derive(Debug)]
pub struct Lane<'a, C> {
    /// The noisy sample, `[sample_len]`.
    pub x_t: &'a [f32],
    /// The training timestep that `x_t` is at.
    pub timestep: u32,
    /// What [`Denoiser::prepare`] made of the job's condition.
    pub context: &'a C,
    /// With or without the condition. A guided row's conditional lane comes right before its unconditional one.
    pub branch: Branch,
    /// Where the row is in its run.
    pub step: StepView,
}

/// The two sides of classifier-free guidance (arXiv 2207.12598).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Branch {
    /// With the job's condition.
    Conditional,
    /// With the model's empty condition, or the job's negative one.
    Unconditional,
}

/// A step in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StepView {
    /// The step, from 0.
    pub index: u32,
    /// The run's number of steps.
    pub steps: u32,
}

impl StepView {
    /// Whether no step follows.
    #[must_use]
    pub fn is_last(self) -> bool {
        self.index.saturating_add(1) >= self.steps
    }
}
