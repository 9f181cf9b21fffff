//! CLIP towers as ONNX graphs. A graph file holds no weights: its constants are ranges of the safetensors files beside it.

mod encoder;
mod graph;
mod image;
mod text;

use std::path::PathBuf;

use unclip_bundle::{Bundle, BundleError, Component, write_atomically};

pub(crate) use image::image_graph;
pub(crate) use text::text_graph;

/// The graph's file name in a tower's folder.
pub const MODEL_FILE: &str = "model.onnx";

/// Generated from `proto/onnx_subset.proto`.
#[expect(unreachable_pub, reason = "generated code is public whatever its module is")]
mod proto {
    include!(concat!(env!("OUT_DIR"), "/unclip.onnx.rs"));
}

/// A graph file's content, and every tensor that stands in its way.
pub(crate) struct Graph {
    bytes: Vec<u8>,
    /// Where the weights really lie: symbolic links are followed.
    pub(crate) weights: PathBuf,
    /// Missing and misshapen tensors.
    pub(crate) errors: Vec<BundleError>,
    /// The tensors that the graph reads, with their shapes.
    pub(crate) tensors: Vec<(String, Vec<usize>)>,
}

impl Graph {
    /// The file's bytes, of a graph without errors.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, BundleError> {
        self.errors.into_iter().next().map_or(Ok(self.bytes), Err)
    }
}

/// Writes `text_encoder/model.onnx`: `input_ids [batch, tokens]` i64 to `text_embeds [batch, projection_dim]` and
/// `last_hidden_state [batch, tokens, hidden_size]`, f32, where `tokens` is the tokenizer's `model_max_length`.
///
/// # Errors
/// The first of [`crate::check_text_tower`]'s about configs and weights, and a folder that can't be written.
pub fn export_text_tower(bundle: &Bundle) -> Result<(), BundleError> {
    write(bundle, Component::TextEncoder, text_graph(bundle)?)
}

/// Writes `image_encoder/model.onnx`: `pixel_values [batch, 3, image_size, image_size]` to
/// `image_embeds [batch, projection_dim]`, f32.
///
/// # Errors
/// The first of [`crate::check_image_tower`]'s about config and weights, and a folder that can't be written.
pub fn export_image_tower(bundle: &Bundle) -> Result<(), BundleError> {
    write(bundle, Component::ImageEncoder, image_graph(bundle)?)
}

fn write(bundle: &Bundle, component: Component, graph: Graph) -> Result<(), BundleError> {
    write_atomically(&bundle.folder(component).join(MODEL_FILE), &graph.into_bytes()?)
}
