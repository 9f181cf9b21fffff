//! The diffusion prior (diffusers' `PriorTransformer`; arXiv 2204.06125, section 2.2).

use tch::Tensor;
use unclip_bundle::config::PriorConfig;

use crate::context::{ContextBatch, MASKED};
use crate::layers::{JointLinear, LayerNorm, Linear, Sinusoid, TimestepEmbedding, add, attend, attend_parts};
use crate::rows::to_i64;
use crate::{ModelError, Params};

/// Tokens after the text and its embedding: the timestep, the noisy image embedding, and the one whose output counts.
const STEP_TOKENS: i64 = 3;

/// A causal transformer over `[text tokens][text embedding][timestep][noisy image embedding][prd]`.
///
/// No token sees a later one, so nothing about the text depends on the timestep: [`PriorTransformer::encode_text`]
/// computes the text's keys and values once, and [`PriorTransformer::forward`] runs the last three tokens over them.
pub struct PriorTransformer {
    time: TimestepEmbedding,
    proj_in: Linear,
    text_embedding: Linear,
    hidden_states: Linear,
    positions: Tensor,
    prd: Tensor,
    blocks: Vec<Block>,
    norm_out: LayerNorm,
    out: Linear,
    clip_mean: Tensor,
    clip_std: Tensor,
    text_tokens: i64,
}

impl PriorTransformer {
    /// Builds the network.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &PriorConfig) -> Result<Self, ModelError> {
        let (dim, inner) = (to_i64(config.embedding_dim), to_i64(config.inner_dim()));
        let length = to_i64(config.sequence_length());
        let sinusoid = Sinusoid { width: inner, cosines_first: true, freq_shift: 0.0 };
        let block = |index| {
            let params = params.sub(&format!("transformer_blocks.{index}"));
            Block::new(&params, inner, to_i64(config.num_attention_heads))
        };
        Ok(Self {
            time: TimestepEmbedding::new(&params.sub("time_embedding"), sinusoid, inner, inner)?,
            proj_in: Linear::new(&params.sub("proj_in"), dim, inner)?,
            text_embedding: Linear::new(&params.sub("embedding_proj"), dim, inner)?,
            hidden_states: Linear::new(&params.sub("encoder_hidden_states_proj"), dim, inner)?,
            positions: params.tensor("positional_embedding", &[1, length, inner])?,
            prd: params.tensor("prd_embedding", &[1, 1, inner])?,
            blocks: (0..config.num_layers).map(block).collect::<Result<_, _>>()?,
            norm_out: LayerNorm::new(&params.sub("norm_out"), inner)?,
            out: Linear::new(&params.sub("proj_to_clip_embeddings"), inner, dim)?,
            clip_mean: params.tensor("clip_mean", &[1, dim])?,
            clip_std: params.tensor("clip_std", &[1, dim])?,
            text_tokens: to_i64(config.num_embeddings),
        })
    }

    /// Mean and standard deviation of CLIP image embeddings, `[1, dim]` each: the prior works on `(z - mean) / std`.
    pub fn statistics(&self) -> (&Tensor, &Tensor) {
        (&self.clip_mean, &self.clip_std)
    }

    /// The text's part of the sequence, `[batch, tokens + 1, inner]`, with positions, out of hidden states
    /// `[batch, tokens, dim]` and text embeddings `[batch, dim]`.
    pub fn embed_text(&self, text_embedding: &Tensor, hidden_states: &Tensor) -> Tensor {
        let hidden_states = self.hidden_states.forward(hidden_states);
        let text_embedding = self.text_embedding.forward(text_embedding).unsqueeze(1);
        let tokens = Tensor::cat(&[hidden_states, text_embedding], 1);
        add(tokens, &self.positions.narrow(1, 0, self.text_tokens + 1))
    }

    /// Keys and values of the text for every block, `[batch, tokens, 2 * inner]`, out of its tokens
    /// `[batch, tokens, inner]`. `bias` over keys is `[batch, 1, 1, tokens]`; tokens that must not be seen may as well be
    /// left out of `tokens`.
    pub fn encode_text(&self, tokens: &Tensor, bias: Option<&Tensor>) -> Vec<Tensor> {
        let length = tokens.size()[1];
        let bias = bias.map(|bias| bias + causal_bias(tokens, length, length));
        let mut x = tokens.shallow_clone();
        let mut key_values = Vec::with_capacity(self.blocks.len());
        for (index, block) in self.blocks.iter().enumerate() {
            let (query, key_value) = block.project(&x);
            // What the last block would make of the text is not read by anyone.
            if index + 1 < self.blocks.len() {
                let attended = attend(&query, &key_value, block.heads, bias.as_ref(), bias.is_none());
                x = block.finish(x, &attended);
            }
            key_values.push(key_value);
        }
        key_values
    }

    /// Predicts the image embedding, `[batch, dim]`, from the noisy one `x` `[batch, dim]`, one of `timesteps` `[batch]`
    /// per row, and the text's keys and values per block in parts that add up to the batch. All in the dtype of the weights,
    /// but for `timesteps`.
    pub fn forward(&self, x: &Tensor, timesteps: &Tensor, text: &[ContextBatch]) -> Tensor {
        let mut x = self.embed_step(x, timesteps);
        let causal = causal_bias(&x, STEP_TOKENS, STEP_TOKENS);
        for (layer, block) in self.blocks.iter().enumerate() {
            let (query, own) = block.project(&x);
            let attended = attend_parts(text, layer, (&query, &own), block.heads, Some(&causal));
            x = block.finish(x, &attended);
        }
        let last = x.narrow(1, STEP_TOKENS - 1, 1).squeeze_dim(1);
        self.out.forward(&self.norm_out.forward(&last))
    }

    /// The tokens of one step with positions, `[batch, 3, inner]`.
    fn embed_step(&self, x: &Tensor, timesteps: &Tensor) -> Tensor {
        let time = self.time.forward(timesteps).unsqueeze(1);
        let image = self.proj_in.forward(x).unsqueeze(1);
        let prd = self.prd.expand_as(&image);
        let tokens = Tensor::cat(&[time, image, prd], 1);
        add(tokens, &self.positions.narrow(1, self.text_tokens + 1, STEP_TOKENS))
    }
}

/// The bias, `[queries, keys]`, that hides every later token from the last `queries` of `keys` tokens.
fn causal_bias(like: &Tensor, queries: i64, keys: i64) -> Tensor {
    Tensor::full([queries, keys], MASKED, (like.kind(), like.device())).triu(keys - queries + 1)
}

/// Norm, attention, norm, feed-forward of four times the width.
struct Block {
    norm1: LayerNorm,
    query_key_value: JointLinear,
    attention_out: Linear,
    norm3: LayerNorm,
    widen: Linear,
    narrow: Linear,
    inner: i64,
    heads: i64,
}

impl Block {
    fn new(params: &Params, inner: i64, heads: i64) -> Result<Self, ModelError> {
        let attention = params.sub("attn1");
        Ok(Self {
            norm1: LayerNorm::new(&params.sub("norm1"), inner)?,
            query_key_value: JointLinear::new(&attention, &["to_q", "to_k", "to_v"], inner, inner)?,
            attention_out: Linear::new(&attention.sub("to_out.0"), inner, inner)?,
            norm3: LayerNorm::new(&params.sub("norm3"), inner)?,
            widen: Linear::new(&params.sub("ff.net.0.proj"), inner, 4 * inner)?,
            narrow: Linear::new(&params.sub("ff.net.2"), 4 * inner, inner)?,
            inner,
            heads,
        })
    }

    /// Queries `[batch, tokens, inner]`, and keys and values side by side.
    fn project(&self, x: &Tensor) -> (Tensor, Tensor) {
        let projected = self.query_key_value.forward(&self.norm1.forward(x));
        let query = projected.narrow(2, 0, self.inner);
        (query, projected.narrow(2, self.inner, 2 * self.inner))
    }

    /// The rest of the block, after attention.
    fn finish(&self, x: Tensor, attended: &Tensor) -> Tensor {
        let x = add(self.attention_out.forward(attended), &x);
        let hidden = self.widen.forward(&self.norm3.forward(&x)).gelu("none");
        add(self.narrow.forward(&hidden), &x)
    }
}
