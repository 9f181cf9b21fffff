"""Config files as the published Karlo repositories have them: diffusers 0.11 and transformers 4.25 wrote fewer keys."""

import json
from pathlib import Path

from bpe import write_json

DIFFUSERS, TRANSFORMERS = "0.11.0.dev0", "4.25.1"

UNET = (
    "act_fn attention_head_dim block_out_channels center_input_sample down_block_types downsample_padding"
    " flip_sin_to_cos freq_shift in_channels layers_per_block mid_block_scale_factor norm_eps norm_num_groups"
    " out_channels resnet_time_scale_shift sample_size up_block_types"
)
DECODER = (
    "class_embed_type cross_attention_dim dual_cross_attention mid_block_type num_class_embeds only_cross_attention"
    " upcast_attention use_linear_projection"
)
SCHEDULER = "clip_sample clip_sample_range num_train_timesteps prediction_type variance_type"
TOWER = (
    "architectures attention_dropout dropout hidden_act hidden_size initializer_factor initializer_range"
    " intermediate_size layer_norm_eps model_type num_attention_heads num_hidden_layers projection_dim"
)

# Folder to the keys that its file has, besides the class and the version.
KEYS = {
    "prior": "additional_embeddings attention_head_dim dropout embedding_dim num_attention_heads num_embeddings"
    " num_layers",
    "text_proj": "clip_embeddings_dim clip_extra_context_tokens cross_attention_dim time_embed_dim",
    "decoder": f"{UNET} {DECODER}",
    "super_res_first": f"{UNET} add_attention time_embedding_type",
    "super_res_last": f"{UNET} add_attention time_embedding_type",
    "prior_scheduler": SCHEDULER,
    "decoder_scheduler": SCHEDULER,
    "super_res_scheduler": SCHEDULER,
    "text_encoder": f"{TOWER} bos_token_id eos_token_id pad_token_id max_position_embeddings vocab_size",
    "image_encoder": f"{TOWER} image_size num_channels patch_size",
}


def config_path(folder: Path) -> Path:
    """The JSON file of a part."""
    return folder / ("scheduler_config.json" if folder.name.endswith("_scheduler") else "config.json")


def rewrite(bundle: Path) -> None:
    """Gives every config of a saved bundle the keys that the published ones have."""
    for part, keys in KEYS.items():
        path = config_path(bundle / part)
        saved = json.loads(path.read_text(encoding="utf-8"))
        kept = {key: saved[key] for key in keys.split() if key in saved}
        if part in ("text_encoder", "image_encoder"):
            kept |= {
                "_name_or_path": "openai/clip-vit-large-patch14",
                "torch_dtype": "float32",
                "transformers_version": TRANSFORMERS,
            }
        else:
            kept |= {"_class_name": saved["_class_name"], "_diffusers_version": DIFFUSERS}
        if part == "super_res_last":
            # Pipelines take the size of the first one.
            kept["sample_size"] = None
        write_json(path, dict(sorted(kept.items())))
