//! The upsampler's networks under the engine.

use unclip_engine::{DenoiseError, Denoiser, Lane, StepView};
use unclip_models::{UpsamplerContext, UpsamplerModel, rows};

/// The small picture.
pub(crate) struct Condition {
    /// `[3, height, width]`, in [-1, 1].
    pub(crate) low_res: Vec<f32>,
    /// In pixels.
    pub(crate) height: usize,
    /// In pixels.
    pub(crate) width: usize,
}

/// The networks: one for all steps but the last, one for the last.
pub(crate) struct UpsamplerDenoiser(pub(crate) UpsamplerModel);

impl Denoiser for UpsamplerDenoiser {
    type Condition = Condition;
    type Context = UpsamplerContext;

    fn prepare(&mut self, condition: Condition, _guided: bool) -> Result<UpsamplerContext, DenoiseError> {
        self.0.context(&condition.low_res, condition.height, condition.width).map_err(DenoiseError::model)
    }

    fn batch_key(&self, step: StepView) -> u32 {
        u32::from(step.is_last())
    }

    fn forward(&mut self, lanes: &[Lane<'_, UpsamplerContext>]) -> Result<Vec<Vec<f32>>, DenoiseError> {
        let samples: Vec<_> = lanes.iter().map(|lane| lane.x_t).collect();
        let timesteps: Vec<_> = lanes.iter().map(|lane| lane.timestep).collect();
        let contexts: Vec<_> = lanes.iter().map(|lane| lane.context).collect();
        let last = lanes.iter().all(|lane| lane.step.is_last());
        let shape = self.0.sample_shape().map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        let run = || {
            let x = rows::stack_rows(&samples, &shape)?;
            rows::split_rows(&self.0.forward(&x, &timesteps, &contexts, last)?)
        };
        run().map_err(DenoiseError::model)
    }
}
