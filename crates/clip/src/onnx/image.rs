//! transformers' `CLIPVisionModelWithProjection`.

use unclip_bundle::config::ClipVisionConfig;
use unclip_bundle::{Bundle, BundleError, Component};

use super::Graph;
use super::encoder::{Encoder, project};
use super::graph::{Attribute, Axis, Element, GraphBuilder, Value, size};

const PREFIX: &str = "vision_model";

/// The graph of the bundle's image tower.
pub(crate) fn image_graph(bundle: &Bundle) -> Result<Graph, BundleError> {
    let config: ClipVisionConfig = bundle.config(Component::ImageEncoder)?;
    let weights = bundle.weights(Component::ImageEncoder)?;
    let encoder = encoder(&config);
    let mut graph = GraphBuilder::new("image_encoder", &weights);
    let side = Axis::Size(config.image_size);
    let shape = [Axis::Batch, Axis::Size(config.num_channels), side, side];
    let pixels = graph.input("pixel_values", Element::F32, &shape);
    let x = embeddings(&mut graph, &pixels, &config);
    // "layrnorm" is how CLIP's checkpoints spell it.
    let x = encoder.norm(&mut graph, &x, "pre_layrnorm");
    let x = encoder.run(&mut graph, &x, None);
    let first = graph.scalar_index(0);
    let class = graph.op("Gather", &[&x, &first], &[Attribute::Int("axis", 1)]);
    let pooled = encoder.norm(&mut graph, &class, "post_layernorm");
    let (out, width) = (config.projection_dim, config.hidden_size);
    let embedding = project(&mut graph, &pooled, "visual_projection.weight", out, width);
    graph.output(&embedding, "image_embeds", &[Axis::Batch, Axis::Size(out)]);
    Ok(graph.finish())
}

fn encoder(config: &ClipVisionConfig) -> Encoder {
    Encoder {
        prefix: PREFIX,
        tokens: patches(config) + 1,
        width: config.hidden_size,
        mlp: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        activation: config.hidden_act,
        epsilon: config.layer_norm_eps,
    }
}

fn patches(config: &ClipVisionConfig) -> usize {
    (config.image_size / config.patch_size).pow(2)
}

/// The class token and one token per patch, with their positions: `[batch, patches + 1, width]`.
fn embeddings(graph: &mut GraphBuilder<'_>, pixels: &Value, config: &ClipVisionConfig) -> Value {
    let width = config.hidden_size;
    let patches = patch_tokens(graph, pixels, config);
    let class = class_token(graph, pixels, width);
    let tokens = graph.op("Concat", &[&class, &patches], &[Attribute::Int("axis", 1)]);
    let name = format!("{PREFIX}.embeddings.position_embedding.weight");
    let positions = graph.weight(&name, &[self::patches(config) + 1, width]);
    graph.op("Add", &[&tokens, &positions], &[])
}

/// `[batch, patches, width]`.
fn patch_tokens(graph: &mut GraphBuilder<'_>, pixels: &Value, config: &ClipVisionConfig) -> Value {
    let (width, patch) = (config.hidden_size, config.patch_size);
    let name = format!("{PREFIX}.embeddings.patch_embedding.weight");
    let kernel = graph.weight(&name, &[width, config.num_channels, patch, patch]);
    let square = [size(patch), size(patch)];
    let attributes = [Attribute::Ints("kernel_shape", &square), Attribute::Ints("strides", &square)];
    let grid = graph.op("Conv", &[pixels, &kernel], &attributes);
    let shape = graph.i64s(&[0, size(width), size(patches(config))]);
    let flat = graph.op("Reshape", &[&grid, &shape], &[]);
    graph.op("Transpose", &[&flat], &[Attribute::Ints("perm", &[0, 2, 1])])
}

/// `[batch, 1, width]`.
fn class_token(graph: &mut GraphBuilder<'_>, pixels: &Value, width: usize) -> Value {
    let class = graph.weight(&format!("{PREFIX}.embeddings.class_embedding"), &[width]);
    let range = [Attribute::Int("start", 0), Attribute::Int("end", 1)];
    let batch = graph.op("Shape", &[pixels], &range);
    let rest = graph.i64s(&[1, size(width)]);
    let shape = graph.op("Concat", &[&batch, &rest], &[Attribute::Int("axis", 0)]);
    graph.op("Expand", &[&class, &shape], &[])
}
