//! The configs of CLIP's folders in a bundle.

use serde_json::{Value, json};

use super::ClipConfig;

/// The transformers that the configs are written for.
const TRANSFORMERS_VERSION: &str = "5.23.0";

/// `text_encoder/config.json`, for a vocabulary whose last two entries are start and end.
pub(super) fn text_encoder(config: &ClipConfig, vocabulary: usize) -> Value {
    json!({
        "architectures": ["CLIPTextModelWithProjection"],
        "attention_dropout": 0.0,
        "bos_token_id": vocabulary - 2,
        "dtype": "float32",
        "eos_token_id": vocabulary - 1,
        "hidden_act": "gelu",
        "hidden_size": config.dim,
        "intermediate_size": 4 * config.dim,
        "layer_norm_eps": 1e-5,
        "max_position_embeddings": config.text.tokens,
        "model_type": "clip_text_model",
        "num_attention_heads": config.text.heads,
        "num_hidden_layers": config.text.layers,
        "pad_token_id": vocabulary - 1,
        "projection_dim": config.dim,
        "transformers_version": TRANSFORMERS_VERSION,
        "vocab_size": vocabulary,
    })
}

/// `image_encoder/config.json`.
pub(super) fn image_encoder(config: &ClipConfig) -> Value {
    let vision = &config.vision;
    json!({
        "architectures": ["CLIPVisionModelWithProjection"],
        "attention_dropout": 0.0,
        "dtype": "float32",
        "hidden_act": "gelu",
        "hidden_size": vision.width,
        "image_size": vision.side,
        "intermediate_size": 4 * vision.width,
        "layer_norm_eps": 1e-5,
        "model_type": "clip_vision_model",
        "num_attention_heads": vision.heads,
        "num_channels": 3,
        "num_hidden_layers": vision.layers,
        "patch_size": vision.patch,
        "projection_dim": config.dim,
        "transformers_version": TRANSFORMERS_VERSION,
    })
}

/// `feature_extractor/preprocessor_config.json`: pixels from -1 to 1, as the decoder has them.
pub(super) fn feature_extractor(config: &ClipConfig) -> Value {
    let side = config.vision.side;
    json!({
        "crop_size": { "height": side, "width": side },
        "do_center_crop": true,
        "do_convert_rgb": true,
        "do_normalize": true,
        "do_rescale": true,
        "do_resize": true,
        "image_mean": [0.5, 0.5, 0.5],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.5, 0.5, 0.5],
        "resample": 3,
        "rescale_factor": 1.0 / 255.0,
        "size": { "shortest_edge": side },
    })
}
