//! Attention over the pixels of a picture.

use tch::Tensor;

use super::{GroupNorm, JointLinear, Linear, add};
use crate::context::ContextBatch;
use crate::{ModelError, Params};

/// Scaled dot-product attention. `query` is `[batch, queries, heads * width]`, `key_value` has the keys and then the
/// values of each token in its last dimension, `[batch, keys, 2 * heads * width]`, `bias` is added to the scores and
/// broadcasts to `[batch, heads, queries, keys]`. The result has the shape of `query`.
pub(crate) fn attend(
    query: &Tensor,
    key_value: &Tensor,
    heads: i64,
    bias: Option<&Tensor>,
    causal: bool,
) -> Tensor {
    let size = query.size();
    let inner = size[2];
    let split = |tokens: &Tensor| {
        let size = tokens.size();
        tokens.reshape([size[0], size[1], heads, inner / heads]).transpose(1, 2)
    };
    let key = split(&key_value.narrow(2, 0, inner));
    let value = split(&key_value.narrow(2, inner, inner));
    Tensor::scaled_dot_product_attention(&split(query), &key, &value, bias, 0.0, causal, None, false)
        .transpose(1, 2)
        .reshape(size.as_slice())
}

/// Attention of every part's rows to their context and to each other's own tokens, in layer `layer`: `query`
/// `[batch, queries, inner]`, and `own` keys and values `[batch, queries, 2 * inner]`. `own_bias` `[queries, queries]` is over
/// the own keys. The result has the shape of `query`.
///
/// # Panics
/// Where a part lacks the layer.
pub(crate) fn attend_parts(
    parts: &[ContextBatch],
    layer: usize,
    (query, own): (&Tensor, &Tensor),
    heads: i64,
    own_bias: Option<&Tensor>,
) -> Tensor {
    let mut start = 0;
    let mut attended: Vec<Tensor> = Vec::with_capacity(parts.len());
    for part in parts {
        let context = &part.key_values[layer];
        let [rows, tokens] = [context.size()[0], context.size()[1]];
        let of_part = |tensor: &Tensor| tensor.narrow(0, start, rows);
        let key_value = Tensor::cat(&[context, &of_part(own)], 1);
        let bias = joint_bias(part.bias.as_ref(), own_bias, tokens, query.size()[1]);
        attended.push(attend(&of_part(query), &key_value, heads, bias.as_ref(), false));
        start += rows;
    }
    match attended.len() {
        1 => attended.remove(0),
        _ => Tensor::cat(&attended, 0),
    }
}

/// The bias over the context's keys, and behind them the own ones.
fn joint_bias(
    context: Option<&Tensor>,
    own: Option<&Tensor>,
    tokens: i64,
    own_tokens: i64,
) -> Option<Tensor> {
    let context = context.map(|bias| bias.constant_pad_nd([0, own_tokens]));
    let own = own.map(|bias| bias.constant_pad_nd([tokens, 0]));
    match (context, own) {
        (Some(context), Some(own)) => Some(context + own),
        (context, own) => context.or(own),
    }
}

/// Attention of pixels to the context and to each other (diffusers' `Attention` with `AttnAddedKVProcessor2_0`).
pub(crate) struct AddedKvAttention {
    norm: GroupNorm,
    query_key_value: JointLinear,
    context: JointLinear,
    out: Linear,
    channels: i64,
    heads: i64,
}

/// diffusers' default for `Attention`; the network's own `norm_eps` does not reach it.
const NORM_EPS: f64 = 1e-5;

impl AddedKvAttention {
    /// `channels` must be a multiple of `head_width`, `context_width` is that of the context tokens.
    pub(crate) fn new(
        params: &Params,
        channels: i64,
        head_width: i64,
        context_width: i64,
        groups: i64,
    ) -> Result<Self, ModelError> {
        let context = ["add_k_proj", "add_v_proj"];
        Ok(Self {
            norm: GroupNorm::new(&params.sub("group_norm"), channels, groups, NORM_EPS)?,
            query_key_value: JointLinear::new(params, &["to_q", "to_k", "to_v"], channels, channels)?,
            context: JointLinear::new(params, &context, context_width, channels)?,
            out: Linear::new(&params.sub("to_out.0"), channels, channels)?,
            channels,
            heads: channels / head_width,
        })
    }

    /// Keys and values of context tokens: `[batch, tokens, context_width]` to `[batch, tokens, 2 * channels]`.
    pub(crate) fn project_context(&self, tokens: &Tensor) -> Tensor {
        self.context.forward(tokens)
    }

    /// `x` is `[batch, channels, height, width]`, channels last in memory; the keys and values of `layer` in `context` come
    /// from `project_context`.
    pub(crate) fn forward(&self, x: &Tensor, context: &[ContextBatch], layer: usize) -> Tensor {
        let tokens = pixels(&self.norm.forward(x));
        let projected = self.query_key_value.forward(&tokens);
        let query = projected.narrow(2, 0, self.channels);
        let own = projected.narrow(2, self.channels, 2 * self.channels);
        let attended = attend_parts(context, layer, (&query, &own), self.heads, None);
        add(picture(&self.out.forward(&attended), x), x)
    }
}

/// Attention of pixels to each other, in the middle of `UNet2DModel`.
pub(crate) struct SelfAttention2d {
    norm: Option<GroupNorm>,
    query_key_value: JointLinear,
    out: Linear,
    inner: i64,
    heads: i64,
}

impl SelfAttention2d {
    /// As many heads of `head_width` as fit into `channels`; no norm without `groups`.
    pub(crate) fn new(
        params: &Params,
        channels: i64,
        head_width: i64,
        groups: Option<i64>,
        eps: f64,
    ) -> Result<Self, ModelError> {
        let heads = channels / head_width;
        let inner = heads * head_width;
        Ok(Self {
            norm: groups
                .map(|groups| GroupNorm::new(&params.sub("group_norm"), channels, groups, eps))
                .transpose()?,
            query_key_value: JointLinear::new(params, &["to_q", "to_k", "to_v"], channels, inner)?,
            out: Linear::new(&params.sub("to_out.0"), inner, channels)?,
            inner,
            heads,
        })
    }

    /// `x` is `[batch, channels, height, width]`, channels last in memory.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let tokens = match &self.norm {
            Some(norm) => pixels(&norm.forward(x)),
            None => pixels(x),
        };
        let projected = self.query_key_value.forward(&tokens);
        let query = projected.narrow(2, 0, self.inner);
        let key_value = projected.narrow(2, self.inner, 2 * self.inner);
        let attended = attend(&query, &key_value, self.heads, None, false);
        add(picture(&self.out.forward(&attended), x), x)
    }
}

/// `[batch, channels, height, width]` as tokens `[batch, height * width, channels]`: a view where channels are last.
fn pixels(x: &Tensor) -> Tensor {
    let size = x.size();
    x.permute([0, 2, 3, 1]).reshape([size[0], size[2] * size[3], size[1]])
}

/// Tokens as a picture of the size of `like`.
fn picture(tokens: &Tensor, like: &Tensor) -> Tensor {
    let size = like.size();
    tokens.view([size[0], size[2], size[3], size[1]]).permute([0, 3, 1, 2])
}
