//! transformers' `CLIPVisionModelWithProjection`.

use tch::Tensor;
use unclip_bundle::config::ClipVisionConfig;
use unclip_models::{ModelError, Params};

use super::layers::{Encoder, LayerNorm, Linear, Shape};
use crate::params::to_i64;

/// The image tower.
pub struct VisionTower {
    class: Tensor,
    patches: Tensor,
    positions: Tensor,
    norm_in: LayerNorm,
    encoder: Encoder,
    norm_out: LayerNorm,
    projection: Linear,
    patch: i64,
}

impl VisionTower {
    /// Builds the tower.
    ///
    /// # Errors
    /// A parameter that is missing or of another shape.
    pub fn new(params: &Params, config: &ClipVisionConfig) -> Result<Self, ModelError> {
        let model = params.sub("vision_model");
        let embeddings = model.sub("embeddings");
        let (width, patch) = (to_i64(config.hidden_size), to_i64(config.patch_size));
        let tokens = to_i64((config.image_size / config.patch_size).pow(2) + 1);
        let channels = to_i64(config.num_channels);
        let norm = |name: &str| LayerNorm::new(&model.sub(name), width, config.layer_norm_eps);
        Ok(Self {
            class: embeddings.tensor("class_embedding", &[width])?,
            patches: embeddings.tensor("patch_embedding.weight", &[width, channels, patch, patch])?,
            positions: embeddings.tensor("position_embedding.weight", &[tokens, width])?,
            // "layrnorm" is how CLIP's checkpoints spell it.
            norm_in: norm("pre_layrnorm")?,
            encoder: Encoder::new(&model.sub("encoder"), shape(config))?,
            norm_out: norm("post_layernorm")?,
            projection: Linear::without_bias(
                &params.sub("visual_projection"),
                width,
                to_i64(config.projection_dim),
            )?,
            patch,
        })
    }

    /// Embeds pictures `[batch, 3, image_size, image_size]`, normalised as the bundle's preprocessing does, as
    /// `[batch, projection_dim]`, not normalised.
    pub fn forward(&self, pictures: &Tensor) -> Tensor {
        let pictures = pictures.to_kind(self.projection.kind());
        // Patches don't overlap, so the convolution is one multiplication.
        let batch = pictures.size()[0];
        let (side, patch) = (pictures.size()[2], self.patch);
        let grid = side / patch;
        let whole = grid * patch;
        let flat = pictures
            .narrow(2, 0, whole)
            .narrow(3, 0, whole)
            .reshape([batch, -1, grid, patch, grid, patch])
            .permute([0, 2, 4, 3, 5, 1])
            .reshape([batch, grid * grid, -1]);
        let kernel = self.patches.permute([0, 2, 3, 1]).reshape([self.patches.size()[0], -1]);
        let tokens = flat.linear(&kernel, None::<Tensor>);
        let class = self.class.expand([batch, 1, -1], false);
        let x = Tensor::cat(&[class, tokens], 1) + &self.positions;
        let x = self.encoder.forward(self.norm_in.forward(&x));
        let pooled = self.norm_out.forward(&x.select(1, 0));
        self.projection.forward(&pooled)
    }
}

fn shape(config: &ClipVisionConfig) -> Shape {
    Shape {
        width: config.hidden_size,
        mlp: config.intermediate_size,
        layers: config.num_hidden_layers,
        heads: config.num_attention_heads,
        activation: config.hidden_act,
        epsilon: config.layer_norm_eps,
        causal: false,
    }
}
