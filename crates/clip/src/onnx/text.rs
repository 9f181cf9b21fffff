//! transformers' `CLIPTextModelWithProjection`.

use unclip_bundle::config::{ClipTextConfig, TokenizerConfig};
use unclip_bundle::{Bundle, BundleError, Component};

use super::Graph;
use super::encoder::{Encoder, project};
use super::graph::{Attribute, Axis, Element, GraphBuilder, Value, size};

const PREFIX: &str = "text_model";

/// The graph of the bundle's text tower.
pub(crate) fn text_graph(bundle: &Bundle) -> Result<Graph, BundleError> {
    let config: ClipTextConfig = bundle.config(Component::TextEncoder)?;
    let tokens = tokens(bundle, &config)?;
    let weights = bundle.weights(Component::TextEncoder)?;
    let encoder = encoder(&config, tokens);
    let mut graph = GraphBuilder::new("text_encoder", &weights);
    let ids = graph.input("input_ids", Element::I64, &[Axis::Batch, Axis::Size(tokens)]);
    let x = embeddings(&mut graph, &ids, &config, tokens);
    let mask = causal_mask(&mut graph, tokens);
    let x = encoder.run(&mut graph, &x, Some(&mask));
    let states = encoder.norm(&mut graph, &x, "final_layer_norm");
    let pooled = pool(&mut graph, &ids, &states, config.eos_token_id);
    let (out, width) = (config.projection_dim, config.hidden_size);
    let embedding = project(&mut graph, &pooled, "text_projection.weight", out, width);
    graph.output(&embedding, "text_embeds", &[Axis::Batch, Axis::Size(out)]);
    let shape = [Axis::Batch, Axis::Size(tokens), Axis::Size(width)];
    graph.output(&states, "last_hidden_state", &shape);
    Ok(graph.finish())
}

/// Texts are padded to the tokenizer's length, which must not exceed the learned positions.
fn tokens(bundle: &Bundle, config: &ClipTextConfig) -> Result<usize, BundleError> {
    let tokens = bundle.config::<TokenizerConfig>(Component::Tokenizer)?.model_max_length;
    if tokens <= config.max_position_embeddings {
        return Ok(tokens);
    }
    Err(BundleError::Mismatch {
        left: "tokenizer/tokenizer_config.json model_max_length".to_owned(),
        right: "text_encoder/config.json max_position_embeddings".to_owned(),
        reason: format!(
            "{tokens} tokens need as many positions, there are {}",
            config.max_position_embeddings
        ),
    })
}

fn encoder(config: &ClipTextConfig, tokens: usize) -> Encoder {
    Encoder {
        prefix: PREFIX,
        tokens,
        width: config.hidden_size,
        mlp: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        activation: config.hidden_act,
        epsilon: config.layer_norm_eps,
    }
}

fn embeddings(graph: &mut GraphBuilder<'_>, ids: &Value, config: &ClipTextConfig, tokens: usize) -> Value {
    let name = |part: &str| format!("{PREFIX}.embeddings.{part}.weight");
    let vocabulary = [config.vocab_size, config.hidden_size];
    let table = graph.weight(&name("token_embedding"), &vocabulary);
    let positions = [config.max_position_embeddings, config.hidden_size];
    let mut positions = graph.weight(&name("position_embedding"), &positions);
    if tokens < config.max_position_embeddings {
        let (from, to) = (graph.i64s(&[0]), graph.i64s(&[size(tokens)]));
        positions = graph.op("Slice", &[&positions, &from, &to], &[]);
    }
    let embedded = graph.op("Gather", &[&table, ids], &[]);
    graph.op("Add", &[&embedded, &positions], &[])
}

/// `[tokens, tokens]`: the lowest f32 above the diagonal, 0 elsewhere.
fn causal_mask(graph: &mut GraphBuilder<'_>, tokens: usize) -> Value {
    let lowest = graph.scalar(f32::MIN);
    let shape = graph.i64s(&[size(tokens), size(tokens)]);
    let full = graph.op("Expand", &[&lowest, &shape], &[]);
    let diagonal = graph.i64s(&[1]);
    graph.op("Trilu", &[&full, &diagonal], &[Attribute::Int("upper", 1)])
}

/// The hidden state at the end token, `[batch, width]`. Configs from before transformers' pull request 24773 have a
/// wrong end token, 2; for them the largest id is the end token. Without any end token the first position is taken.
fn pool(graph: &mut GraphBuilder<'_>, ids: &Value, states: &Value, eos_token_id: u32) -> Value {
    let rank = if eos_token_id == 2 {
        graph.cast(ids, Element::I32)
    } else {
        let end = graph.i64s(&[i64::from(eos_token_id)]);
        let is_end = graph.op("Equal", &[ids, &end], &[]);
        graph.cast(&is_end, Element::I32)
    };
    let attributes = [Attribute::Int("axis", 1), Attribute::Int("keepdims", 1)];
    let position = graph.op("ArgMax", &[&rank], &attributes);
    graph.op("GatherND", &[states, &position], &[Attribute::Int("batch_dims", 1)])
}
