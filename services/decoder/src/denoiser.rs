//! The decoder's network under the engine.

use unclip_engine::{DenoiseError, Denoiser, Lane};
use unclip_models::{DecoderContext, DecoderModel, ModelError, rows};
use unclip_proto::PlainText;
use unclip_stage::Branches;

/// What a picture is drawn from.
pub(crate) struct Condition {
    /// `[dim]`; none for the learned embedding of no picture.
    pub(crate) image_embedding: Option<Vec<f32>>,
    /// The caption.
    pub(crate) text: PlainText,
    /// What guidance steers away from.
    pub(crate) negative: Option<PlainText>,
}

/// The condition, projected once.
type Context = Branches<DecoderContext>;

/// The network.
pub(crate) struct DecoderDenoiser(pub(crate) DecoderModel);

impl DecoderDenoiser {
    /// Without an image embedding, as in guidance's unconditional branch, the learned null takes its place.
    fn context(&self, image: Option<&[f32]>, text: &PlainText) -> Result<DecoderContext, DenoiseError> {
        self.0.context(image, &text.embedding, &text.hidden_states, &text.mask).map_err(DenoiseError::model)
    }
}

impl Denoiser for DecoderDenoiser {
    type Condition = Condition;
    type Context = Context;

    fn prepare(&mut self, condition: Condition, guided: bool) -> Result<Context, DenoiseError> {
        let conditional = self.context(condition.image_embedding.as_deref(), &condition.text)?;
        let unconditional = match &condition.negative {
            Some(negative) if guided => Some(self.context(None, negative)?),
            _ => None,
        };
        Ok(Context { conditional, unconditional })
    }

    fn forward(&mut self, lanes: &[Lane<'_, Context>]) -> Result<Vec<Vec<f32>>, DenoiseError> {
        let samples: Vec<_> = lanes.iter().map(|lane| lane.x_t).collect();
        let timesteps: Vec<_> = lanes.iter().map(|lane| lane.timestep).collect();
        let contexts = lanes.iter().map(Branches::of).collect::<Result<Vec<_>, _>>()?;
        let shape = self.0.sample_shape().map(|size| i64::try_from(size).unwrap_or(i64::MAX));
        let run = || -> Result<_, ModelError> {
            let x = rows::stack_rows(&samples, &shape)?;
            rows::split_rows(&self.0.forward(&x, &timesteps, &contexts)?)
        };
        run().map_err(DenoiseError::model)
    }
}
