//! The prior's network under the engine.

use std::sync::Arc;

use unclip_engine::{DenoiseError, Denoiser, Lane};
use unclip_models::{ModelError, PriorContext, PriorModel, rows};
use unclip_proto::PlainText;
use unclip_stage::Branches;

/// What an image embedding is sampled for.
#[derive(Clone)]
pub(crate) struct Condition {
    /// The caption.
    pub(crate) text: Arc<PlainText>,
    /// What guidance steers away from.
    pub(crate) negative: Option<Arc<PlainText>>,
}

/// The condition, projected once.
type Context = Branches<PriorContext>;

/// The network.
pub(crate) struct PriorDenoiser(pub(crate) PriorModel);

impl PriorDenoiser {
    fn context(&self, text: &PlainText) -> Result<PriorContext, DenoiseError> {
        self.0.context(&text.embedding, &text.hidden_states, &text.mask).map_err(DenoiseError::model)
    }
}

impl Denoiser for PriorDenoiser {
    type Condition = Condition;
    type Context = Context;

    fn prepare(&mut self, condition: Condition, guided: bool) -> Result<Context, DenoiseError> {
        let conditional = self.context(&condition.text)?;
        let unconditional = match &condition.negative {
            Some(negative) if guided => Some(self.context(negative)?),
            _ => None,
        };
        Ok(Context { conditional, unconditional })
    }

    fn forward(&mut self, lanes: &[Lane<'_, Context>]) -> Result<Vec<Vec<f32>>, DenoiseError> {
        let samples: Vec<_> = lanes.iter().map(|lane| lane.x_t).collect();
        let timesteps: Vec<_> = lanes.iter().map(|lane| lane.timestep).collect();
        let contexts = lanes.iter().map(Branches::of).collect::<Result<Vec<_>, _>>()?;
        let dim = i64::try_from(self.0.embedding_dim()).unwrap_or(i64::MAX);
        let run = || -> Result<_, ModelError> {
            let x = rows::stack_rows(&samples, &[dim])?;
            rows::split_rows(&self.0.forward(&x, &timesteps, &contexts)?)
        };
        run().map_err(DenoiseError::model)
    }
}
