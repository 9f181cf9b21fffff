"""One forward pass of every network of a bundle, with its inputs."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from configs import Bundle
from weights import generator


def text_mask(tokens: int) -> torch.Tensor:
    """`[2, tokens]`: one short text, one that fills two thirds."""
    lengths = torch.tensor([[3], [max(4, tokens * 2 // 3)]])
    return torch.arange(tokens)[None] < lengths


def prior_golden(config: Bundle, parts: dict, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """The prior at two different timesteps, with and without a mask (without one it also drops the causal mask)."""
    inputs = {
        "x": torch.randn((2, config.dim), generator=rng),
        "timesteps": torch.tensor([957, 41]),
        "text_embedding": torch.randn((2, config.dim), generator=rng),
        "text_hidden_states": torch.randn((2, config.text.tokens, config.dim), generator=rng),
        "mask": text_mask(config.text.tokens),
    }
    call = (inputs["x"], inputs["timesteps"], inputs["text_embedding"], inputs["text_hidden_states"])
    model = parts["prior"]
    out = model(*call, attention_mask=inputs["mask"]).predicted_image_embedding
    unmasked = model(*call).predicted_image_embedding
    post = model.post_process_latents(inputs["x"])
    outputs = {"out": out, "out_unmasked": unmasked, "post_processed": post}
    return {f"prior.{k}": v for k, v in {**inputs, **outputs}.items()}


def text_proj_golden(config: Bundle, parts: dict, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """The projection of two rows; and with guidance: text rows [unconditional, conditional], image row 1 alone."""
    inputs = {
        "image_embedding": torch.randn((2, config.dim), generator=rng),
        "text_embedding": torch.randn((2, config.dim), generator=rng),
        "text_hidden_states": torch.randn((2, config.text.tokens, config.dim), generator=rng),
    }

    def run(image_embedding: torch.Tensor, guided: bool) -> tuple[torch.Tensor, torch.Tensor]:
        return parts["text_proj"](
            image_embeddings=image_embedding,
            prompt_embeds=inputs["text_embedding"],
            text_encoder_hidden_states=inputs["text_hidden_states"],
            do_classifier_free_guidance=guided,
        )

    context, time = run(inputs["image_embedding"], False)
    guided_context, guided_time = run(inputs["image_embedding"][1:], True)
    outputs = {"context": context, "time": time, "guided_context": guided_context, "guided_time": guided_time}
    return {f"text_proj.{k}": v for k, v in {**inputs, **outputs}.items()}


def decoder_golden(config: Bundle, parts: dict, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """The decoder at two different timesteps. The mask covers the context tokens, then the text."""
    unet, keys = config.decoder, config.context_tokens + config.text.tokens
    inputs = {
        "sample": torch.randn((2, 3, unet.size, unet.size), generator=rng),
        "timesteps": torch.tensor([874, 125]),
        "context": torch.randn((2, keys, unet.cross_dim), generator=rng),
        "mask": F.pad(text_mask(config.text.tokens), (config.context_tokens, 0), value=True),
        "time": torch.randn((2, unet.time_width()), generator=rng),
    }
    out = parts["decoder"](
        inputs["sample"],
        inputs["timesteps"],
        encoder_hidden_states=inputs["context"],
        class_labels=inputs["time"],
        attention_mask=inputs["mask"],
    ).sample
    return {f"decoder.{k}": v for k, v in {**inputs, "out": out}.items()}


def super_res_golden(config: Bundle, parts: dict, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """Both upsamplers on the same input, and the antialiased bicubic enlargement in front of them."""
    size, small = config.super_res.size, config.decoder.size
    sample = torch.randn((2, 6, size, size), generator=rng)
    timesteps = torch.tensor([999, 166])
    image = torch.rand((2, 3, small, small), generator=rng) * 2 - 1
    upscaled = F.interpolate(image, size=[size, size], mode="bicubic", align_corners=False, antialias=True)
    out = {f"{part}.out": parts[part](sample, timesteps).sample for part in ("super_res_first", "super_res_last")}
    inputs = {"super_res.sample": sample, "super_res.timesteps": timesteps}
    return {**inputs, **out, "upscale.image": image, "upscale.out": upscaled}


@torch.no_grad()
def write_networks(config: Bundle, parts: dict, folder: Path) -> None:
    """Writes `networks.safetensors`."""
    tensors: dict[str, torch.Tensor] = {}
    for golden in (prior_golden, text_proj_golden, decoder_golden, super_res_golden):
        tensors |= golden(config, parts, generator(config.seed, golden.__name__))
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "networks.safetensors")
