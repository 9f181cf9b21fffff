//! `unclip train prior --config FILE`.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::diffusion::Sampling;
use crate::run::{Cadence, CheckedConfig, DataConfig, Optimisation, Problems};

/// A prior and its training.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorTrainingConfig {
    /// Seed of weights, batches and noise.
    pub seed: u64,
    /// The bundle with the trained CLIP.
    pub clip: PathBuf,
    /// How often the caption is replaced by the empty one (arXiv 2204.06125, section 2.2).
    #[serde(default = "drop_caption")]
    pub drop_caption: f32,
    /// Noisy embeddings per caption and step. The transformer is causal and the text comes first, so further ones cost a
    /// fraction of the first.
    #[serde(default = "noises")]
    pub noises: usize,
    /// Pictures and captions.
    pub data: DataConfig,
    /// The transformer.
    pub transformer: PriorShape,
    /// Steps, batches and learning rate.
    pub optimisation: Optimisation,
    /// How often things happen.
    #[serde(default)]
    pub cadence: Cadence,
    /// Samples for the evaluation.
    #[serde(default = "sampling")]
    pub sampling: Sampling,
}

/// Measures of the transformer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriorShape {
    /// Attention heads.
    pub heads: usize,
    /// Width of a head; the transformer is `heads` times as wide.
    pub head_width: usize,
    /// Blocks.
    pub layers: usize,
}

fn drop_caption() -> f32 {
    0.1
}

fn noises() -> usize {
    1
}

fn sampling() -> Sampling {
    Sampling { count: 256, ..Sampling::default() }
}

impl CheckedConfig for PriorTrainingConfig {
    fn check(&self, problems: &mut Problems) {
        let share = (0.0..=1.0).contains(&self.drop_caption);
        problems.expect("drop_caption", self.drop_caption, share, "0 to 1");
        problems.expect("noises", self.noises, self.noises >= 1, "1 or more");
        self.optimisation.check(problems);
        self.cadence.check(problems);
        self.sampling.check(problems);
    }
}

impl PriorShape {
    /// `prior/config.json`, for embeddings of `dim` and texts of `tokens`.
    pub(super) fn config(&self, dim: usize, tokens: usize) -> Value {
        json!({
            "_class_name": "PriorTransformer",
            "_diffusers_version": "0.42.1",
            "added_emb_type": "prd",
            "additional_embeddings": 4,
            "attention_head_dim": self.head_width,
            "clip_embed_dim": null,
            "dropout": 0.0,
            "embedding_dim": dim,
            "embedding_proj_dim": null,
            "embedding_proj_norm_type": null,
            "encoder_hid_proj_type": "linear",
            "norm_in_type": null,
            "num_attention_heads": self.heads,
            "num_embeddings": tokens,
            "num_layers": self.layers,
            "time_embed_act_fn": "silu",
            "time_embed_dim": null,
        })
    }
}
