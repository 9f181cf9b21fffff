"""Builds one random-weight bundle in memory and stores it in the layout of a saved diffusers pipeline."""

import json
from pathlib import Path

import torch
from diffusers import ModelMixin, PriorTransformer, UNet2DConditionModel, UNet2DModel, UnCLIPScheduler
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPImageProcessorPil,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

import bpe
import legacy
from configs import Bundle, Unet
from weights import fit_readout, generator, randomise

# Schedulers as the Karlo conversion script of diffusers writes them.
SCHEDULERS = {
    "prior_scheduler": {"variance_type": "fixed_small_log", "prediction_type": "sample", "clip_sample_range": 5.0},
    "decoder_scheduler": {"variance_type": "learned_range", "prediction_type": "epsilon", "clip_sample_range": 1.0},
    "super_res_scheduler": {"variance_type": "fixed_small_log", "prediction_type": "epsilon", "clip_sample_range": 1.0},
}

CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def text_encoder(config: Bundle, vocab_size: int) -> CLIPTextModelWithProjection:
    """The CLIP text tower. Pools at argmax(ids) or at the first end token, as `config.text.eos_rule` says."""
    legacy = config.text.eos_rule == "argmax"
    model = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=config.dim,
            intermediate_size=config.text.mlp,
            projection_dim=config.dim,
            num_hidden_layers=config.text.layers,
            num_attention_heads=config.text.heads,
            max_position_embeddings=config.text.tokens,
            hidden_act=config.text.activation,
            pad_token_id=1 if legacy else vocab_size - 1,
            bos_token_id=0 if legacy else vocab_size - 2,
            eos_token_id=2 if legacy else vocab_size - 1,
        )
    )
    randomise(model, config.seed, "text_encoder")
    return model


def image_encoder(config: Bundle) -> CLIPVisionModelWithProjection:
    """The CLIP vision tower."""
    vision = config.vision
    model = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=vision.width,
            intermediate_size=vision.mlp,
            projection_dim=config.dim,
            num_hidden_layers=vision.layers,
            num_attention_heads=vision.heads,
            image_size=vision.size,
            patch_size=vision.patch,
            hidden_act=vision.activation,
        )
    )
    randomise(model, config.seed, "image_encoder")
    return model


def prior(config: Bundle) -> PriorTransformer:
    """The prior transformer."""
    model = PriorTransformer(
        num_attention_heads=config.prior.heads,
        attention_head_dim=config.prior.head_dim,
        num_layers=config.prior.layers,
        embedding_dim=config.dim,
        num_embeddings=config.text.tokens,
        additional_embeddings=4,
    )
    randomise(model, config.seed, "prior")
    return model


def text_proj(config: Bundle) -> UnCLIPTextProjModel:
    """The text projection in front of the decoder."""
    model = UnCLIPTextProjModel(
        clip_extra_context_tokens=config.context_tokens,
        clip_embeddings_dim=config.dim,
        time_embed_dim=config.decoder.time_width(),
        cross_attention_dim=config.decoder.cross_dim,
    )
    randomise(model, config.seed, "text_proj")
    return model


def decoder(config: Bundle) -> UNet2DConditionModel:
    """The decoder U-Net, its last layer fitted to predict noise under random conditions."""
    unet = config.decoder
    deeper = len(unet.widths) - 1
    model = UNet2DConditionModel(
        sample_size=unet.size,
        layers_per_block=unet.layers,
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * deeper),
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * deeper, "ResnetUpsampleBlock2D"),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        block_out_channels=unet.widths,
        time_embedding_dim=unet.time or None,
        in_channels=3,
        out_channels=6,
        cross_attention_dim=unet.cross_dim,
        class_embed_type="identity",
        attention_head_dim=unet.head_dim,
        resnet_time_scale_shift=unet.time_scale_shift,
        norm_num_groups=unet.groups,
    )
    randomise(model, config.seed, "decoder")

    def forward(noisy, _clean, timesteps, rng):
        states = torch.randn((len(noisy), config.context_tokens + config.text.tokens, unet.cross_dim), generator=rng)
        labels = torch.randn((len(noisy), unet.time_width()), generator=rng)
        return model(noisy, timesteps, encoder_hidden_states=states, class_labels=labels)

    fit_readout(model, forward, unet.size, config.seed, "decoder")
    return model


def super_res(config: Bundle, part: str) -> UNet2DModel:
    """One of the two upsampler U-Nets, its last layer fitted to predict noise."""
    unet: Unet = config.super_res
    levels = len(unet.widths)
    model = UNet2DModel(
        sample_size=unet.size,
        layers_per_block=unet.layers,
        down_block_types=("ResnetDownsampleBlock2D",) * levels,
        up_block_types=("ResnetUpsampleBlock2D",) * levels,
        block_out_channels=unet.widths,
        time_embedding_dim=unet.time or None,
        in_channels=6,
        out_channels=3,
        add_attention=False,
        resnet_time_scale_shift=unet.time_scale_shift,
        norm_num_groups=unet.groups,
    )
    randomise(model, config.seed, part)

    def forward(noisy, clean, timesteps, _rng):
        return model(torch.cat([noisy, clean], dim=1), timesteps)

    fit_readout(model, forward, unet.size, config.seed, part)
    return model


def image_processor(size: int) -> CLIPImageProcessorPil:
    """CLIP preprocessing (PIL, so bicubic with antialiasing) to `size` pixels."""
    return CLIPImageProcessorPil(size={"shortest_edge": size}, crop_size={"height": size, "width": size})


def legacy_image_processor(size: int) -> dict:
    """`preprocessor_config.json` as the original Karlo image-variation repository has it."""
    return {
        "crop_size": {"height": size, "width": size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": CLIP_MEAN,
        "image_processor_type": "CLIPImageProcessor",
        "image_std": CLIP_STD,
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": size},
    }


def model_index(config: Bundle, diffusers_version: str) -> dict:
    """`model_index.json` of a Karlo pipeline, with the two parts that image variations need besides.

    Old files name the module `unclip` as the library of `text_proj`, new ones `diffusers`.
    """
    return {
        "_class_name": "UnCLIPPipeline",
        "_diffusers_version": diffusers_version,
        "decoder": ["diffusers", "UNet2DConditionModel"],
        "decoder_scheduler": ["diffusers", "UnCLIPScheduler"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "prior": ["diffusers", "PriorTransformer"],
        "prior_scheduler": ["diffusers", "UnCLIPScheduler"],
        "super_res_first": ["diffusers", "UNet2DModel"],
        "super_res_last": ["diffusers", "UNet2DModel"],
        "super_res_scheduler": ["diffusers", "UnCLIPScheduler"],
        "text_encoder": ["transformers", "CLIPTextModelWithProjection"],
        "text_proj": ["unclip" if config.text.files == "legacy" else "diffusers", "UnCLIPTextProjModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
    }


def add_position_ids(folder: Path, tokens: int) -> None:
    """Old CLIP checkpoints, Karlo's among them, also store the index buffer that transformers has since dropped."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["text_model.embeddings.position_ids"] = torch.arange(tokens)[None]
    save_file(tensors, path, metadata={"format": "pt"})


def save_text_side(config: Bundle, folder: Path) -> None:
    """Tokenizer and text encoder."""
    merges = bpe.learn_merges(config.text.merges)
    save = bpe.save_legacy if config.text.files == "legacy" else bpe.save_modern
    save(folder / "tokenizer", merges, config.text.pad, config.text.tokens)
    text_encoder(config, len(bpe.vocabulary(merges))).save_pretrained(folder / "text_encoder")
    if config.text.files == "legacy":
        add_position_ids(folder / "text_encoder", config.text.tokens)


def save_image_side(config: Bundle, folder: Path) -> None:
    """Image preprocessing and image encoder."""
    image_encoder(config).save_pretrained(folder / "image_encoder")
    target = folder / "feature_extractor"
    if config.text.files == "legacy":
        target.mkdir(parents=True, exist_ok=True)
        bpe.write_json(target / "preprocessor_config.json", legacy_image_processor(config.vision.size))
    else:
        image_processor(config.vision.size).save_pretrained(target)


def save_bundle(config: Bundle, folder: Path) -> None:
    """Writes the whole bundle. Weights are safetensors only."""
    folder.mkdir(parents=True, exist_ok=True)
    save_text_side(config, folder)
    save_image_side(config, folder)
    prior(config).save_pretrained(folder / "prior")
    text_proj(config).save_pretrained(folder / "text_proj")
    decoder(config).save_pretrained(folder / "decoder")
    for part in ("super_res_first", "super_res_last"):
        super_res(config, part).save_pretrained(folder / part)
    for name, options in SCHEDULERS.items():
        UnCLIPScheduler(**options).save_pretrained(folder / name)
    if config.text.files == "legacy":
        legacy.rewrite(folder)
    version = json.loads((folder / "prior" / "config.json").read_text())["_diffusers_version"]
    bpe.write_json(folder / "model_index.json", model_index(config, version))


def load_part(kind: type, folder: Path):
    """One part. diffusers' models are told not to look for `accelerate`."""
    options = {"low_cpu_mem_usage": False} if issubclass(kind, ModelMixin) else {}
    return kind.from_pretrained(folder, **options)


def load_parts(folder: Path) -> dict:
    """Every part of a stored bundle, by its folder's name (diffusers can no longer load this pipeline as a whole)."""
    kinds = {
        "tokenizer": CLIPTokenizer,
        "text_encoder": CLIPTextModelWithProjection,
        "image_encoder": CLIPVisionModelWithProjection,
        "feature_extractor": CLIPImageProcessorPil,
        "prior": PriorTransformer,
        "text_proj": UnCLIPTextProjModel,
        "decoder": UNet2DConditionModel,
        "super_res_first": UNet2DModel,
        "super_res_last": UNet2DModel,
        **dict.fromkeys(SCHEDULERS, UnCLIPScheduler),
    }
    parts = {name: load_part(kind, folder / name) for name, kind in kinds.items()}
    for part in parts.values():
        if isinstance(part, torch.nn.Module):
            # transformers keeps the dtype of the file.
            part.eval().float()
    return parts
