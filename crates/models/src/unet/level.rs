//! One resolution of a U-Net, on the way down or up.

use tch::Tensor;

use crate::context::ContextBatch;
use crate::layers::{AddedKvAttention, Resnet};

/// A forward pass on its way through the network.
pub(super) struct Pass<'a> {
    /// SiLU of the time embedding, `[batch, time_embed_dim]`: every residual block begins with it.
    pub(super) time: Tensor,
    context: &'a [ContextBatch],
    next_attention: usize,
}

impl<'a> Pass<'a> {
    pub(super) fn new(time: Tensor, context: &'a [ContextBatch]) -> Self {
        Self { time, context, next_attention: 0 }
    }

    /// The next attention layer of the network. Without keys and values for it the picture passes unchanged.
    pub(super) fn attend(&mut self, attention: &AddedKvAttention, x: &Tensor) -> Tensor {
        let index = self.next_attention;
        self.next_attention += 1;
        match self.context.first().is_some_and(|part| index < part.key_values.len()) {
            true => attention.forward(x, self.context, index),
            false => x.shallow_clone(),
        }
    }
}

/// Residual blocks, each with attention where the level has it, then the change of resolution, if any.
pub(super) struct Level {
    pub(super) resnets: Vec<Resnet>,
    pub(super) attentions: Vec<AddedKvAttention>,
    pub(super) resample: Option<Resnet>,
}

impl Level {
    /// Leaves what the way up will need on `skips`.
    pub(super) fn down(&self, mut x: Tensor, pass: &mut Pass<'_>, skips: &mut Vec<Tensor>) -> Tensor {
        for index in 0..self.resnets.len() {
            x = self.layer(index, &x, pass);
            skips.push(x.shallow_clone());
        }
        if let Some(resample) = &self.resample {
            x = resample.forward(&x, &pass.time);
            skips.push(x.shallow_clone());
        }
        x
    }

    /// Takes from `skips` what the way down left.
    pub(super) fn up(&self, mut x: Tensor, pass: &mut Pass<'_>, skips: &mut Vec<Tensor>) -> Tensor {
        for index in 0..self.resnets.len() {
            if let Some(skip) = skips.pop() {
                x = Tensor::cat(&[x, skip], 1);
            }
            x = self.layer(index, &x, pass);
        }
        match &self.resample {
            Some(resample) => resample.forward(&x, &pass.time),
            None => x,
        }
    }

    fn layer(&self, index: usize, x: &Tensor, pass: &mut Pass<'_>) -> Tensor {
        let x = self.resnets[index].forward(x, &pass.time);
        match self.attentions.get(index) {
            Some(attention) => pass.attend(attention, &x),
            None => x,
        }
    }
}
