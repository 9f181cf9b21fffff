//! The transformer that both towers share: pre-norm blocks of attention and MLP, as transformers' `CLIPEncoder`.

use unclip_bundle::config::Activation;

use super::graph::{Attribute, GraphBuilder, Value, size};

/// The measures of a tower's transformer.
pub(crate) struct Encoder {
    /// `text_model` or `vision_model`.
    pub(crate) prefix: &'static str,
    /// Length of the sequence.
    pub(crate) tokens: usize,
    /// Width of the hidden states.
    pub(crate) width: usize,
    /// Width inside the MLP.
    pub(crate) mlp: usize,
    /// Number of blocks.
    pub(crate) layers: usize,
    /// Attention heads.
    pub(crate) heads: usize,
    /// Activation of the MLP.
    pub(crate) activation: Activation,
    /// Epsilon of the layer norms.
    pub(crate) epsilon: f32,
}

impl Encoder {
    /// All blocks: `[batch, tokens, width]` to the same. `mask [tokens, tokens]` is added to the attention scores.
    pub(crate) fn run(&self, graph: &mut GraphBuilder<'_>, input: &Value, mask: Option<&Value>) -> Value {
        (0..self.layers).fold(input.clone(), |x, layer| self.block(graph, &x, mask, layer))
    }

    /// The layer norm `PREFIX.name` over the last axis.
    pub(crate) fn norm(&self, graph: &mut GraphBuilder<'_>, input: &Value, name: &str) -> Value {
        let weight = graph.weight(&format!("{}.{name}.weight", self.prefix), &[self.width]);
        let bias = graph.weight(&format!("{}.{name}.bias", self.prefix), &[self.width]);
        let attributes = [Attribute::Int("axis", -1), Attribute::Float("epsilon", self.epsilon)];
        graph.op("LayerNormalization", &[input, &weight, &bias], &attributes)
    }

    fn block(
        &self,
        graph: &mut GraphBuilder<'_>,
        input: &Value,
        mask: Option<&Value>,
        layer: usize,
    ) -> Value {
        let name = |part: &str| format!("encoder.layers.{layer}.{part}");
        let normed = self.norm(graph, input, &name("layer_norm1"));
        let attended = self.attention(graph, &normed, mask, &name("self_attn"));
        let x = graph.op("Add", &[input, &attended], &[]);
        let normed = self.norm(graph, &x, &name("layer_norm2"));
        let hidden = self.linear(graph, &normed, &name("mlp.fc1"), self.mlp, self.width);
        let hidden = self.activate(graph, &hidden);
        let hidden = self.linear(graph, &hidden, &name("mlp.fc2"), self.width, self.mlp);
        graph.op("Add", &[&x, &hidden], &[])
    }

    fn attention(
        &self,
        graph: &mut GraphBuilder<'_>,
        input: &Value,
        mask: Option<&Value>,
        name: &str,
    ) -> Value {
        let q = self.heads(graph, input, &format!("{name}.q_proj"), &[0, 2, 1, 3]);
        let k = self.heads(graph, input, &format!("{name}.k_proj"), &[0, 2, 3, 1]);
        let v = self.heads(graph, input, &format!("{name}.v_proj"), &[0, 2, 1, 3]);
        let scores = graph.op("MatMul", &[&q, &k], &[]);
        let scale = graph.scalar(self.scale());
        let mut scores = graph.op("Mul", &[&scores, &scale], &[]);
        if let Some(mask) = mask {
            scores = graph.op("Add", &[&scores, mask], &[]);
        }
        let probabilities = graph.op("Softmax", &[&scores], &[Attribute::Int("axis", -1)]);
        let mixed = graph.op("MatMul", &[&probabilities, &v], &[]);
        let mixed = graph.op("Transpose", &[&mixed], &[Attribute::Ints("perm", &[0, 2, 1, 3])]);
        let shape = graph.i64s(&[0, size(self.tokens), size(self.width)]);
        let joined = graph.op("Reshape", &[&mixed, &shape], &[]);
        self.linear(graph, &joined, &format!("{name}.out_proj"), self.width, self.width)
    }

    /// A projection, split into heads `[batch, tokens, heads, head_dim]`, its axes in the order `perm`.
    fn heads(&self, graph: &mut GraphBuilder<'_>, input: &Value, name: &str, perm: &[i64]) -> Value {
        let projected = self.linear(graph, input, name, self.width, self.width);
        let shape = [0, size(self.tokens), size(self.heads), size(self.head_dim())];
        let shape = graph.i64s(&shape);
        let split = graph.op("Reshape", &[&projected, &shape], &[]);
        graph.op("Transpose", &[&split], &[Attribute::Ints("perm", perm)])
    }

    fn linear(
        &self,
        graph: &mut GraphBuilder<'_>,
        input: &Value,
        name: &str,
        out: usize,
        inner: usize,
    ) -> Value {
        let product = project(graph, input, &format!("{}.{name}.weight", self.prefix), out, inner);
        let bias = graph.weight(&format!("{}.{name}.bias", self.prefix), &[out]);
        graph.op("Add", &[&product, &bias], &[])
    }

    fn activate(&self, graph: &mut GraphBuilder<'_>, input: &Value) -> Value {
        match self.activation {
            Activation::Gelu => graph.op("Gelu", &[input], &[]),
            Activation::QuickGelu => {
                // https://github.com/openai/CLIP, clip/model.py, class QuickGELU.
                let slope = graph.scalar(1.702);
                let scaled = graph.op("Mul", &[input, &slope], &[]);
                let gate = graph.op("Sigmoid", &[&scaled], &[]);
                graph.op("Mul", &[input, &gate], &[])
            }
        }
    }

    fn head_dim(&self) -> usize {
        self.width / self.heads
    }

    /// Vaswani et al. 2017 (arXiv 1706.03762), equation 1.
    #[expect(clippy::cast_precision_loss, reason = "head sizes are small")]
    fn scale(&self) -> f32 {
        (self.head_dim() as f32).sqrt().recip()
    }
}

/// A linear layer without bias, whose weight is `[out, inner]` as PyTorch stores it.
pub(crate) fn project(
    graph: &mut GraphBuilder<'_>,
    input: &Value,
    name: &str,
    out: usize,
    inner: usize,
) -> Value {
    let weight = graph.weight(name, &[out, inner]);
    let weight = graph.op("Transpose", &[&weight], &[Attribute::Ints("perm", &[1, 0])]);
    graph.op("MatMul", &[input, &weight], &[])
}
