"""What transformers' CLIP towers make of a set of texts and pictures."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from bpe import write_json


def texts(limit: int) -> list[str]:
    """Texts that tokenizers disagree about, then lengths around `limit` ("cat" is one token of the vocabulary)."""
    return [
        "",
        "fox",
        "a red fox in the snow",
        "A RED Fox In The SNOW",
        "naïve café: ça va? Ünïcödé 東京",
        "🦊🔥 emoji 👩‍🚀!",
        "fish &amp; chips &lt;b&gt;",
        "tabs\tand\nnewlines \r\n and   many    spaces ",
        "it's the dog's, they'll've won't I'm",
        "3 dogs, 12 cats & 1,000.50 $ (42%) -- yes/no? #1 @home",
        "e\u0301 cafe\u0301 \ufb01 \u212b \u00a0non\u2003breaking\u200bspace",
        "wow!!! ! a!b !!",
        "literal <|endoftext|> and <|startoftext|> in the text",
        "İstanbul ΑΣ ß ǅ",
        " ".join(["cat"] * (limit - 3)),
        " ".join(["cat"] * (limit - 2)),
        " ".join(["cat"] * (limit - 1)),
        "the cat sat on the mat and " * 40,
    ]


def write_texts(parts: dict, folder: Path) -> None:
    """Writes `text.json` (the texts) and `text.safetensors` (a row for each)."""
    tokenizer = parts["tokenizer"]
    lines = texts(tokenizer.model_max_length)
    tokens = tokenizer(
        lines, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    )
    out = parts["text_encoder"](tokens.input_ids)
    tensors = {
        "input_ids": tokens.input_ids,
        "attention_mask": tokens.attention_mask,
        "text_embeds": out.text_embeds,
        "last_hidden_state": out.last_hidden_state,
    }
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "text.safetensors")
    special = {name: getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad", "unk")}
    write_json(folder / "text.json", {"texts": lines, "token_ids": special, "max_length": tokenizer.model_max_length})


def gradient(height: int, width: int) -> np.ndarray:
    """Three different ramps, `[height, width, 3]` u8."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    planes = (x / max(width - 1, 1), y / max(height - 1, 1), (x + y) / (height + width - 2))
    return (np.stack(planes, axis=-1) * 255).round().astype(np.uint8)


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """Uniform noise, `[height, width, 3]` u8: overshoots of the bicubic filter reach both ends of the range."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pictures(size: int) -> dict[str, np.ndarray]:
    """Pictures around a crop of `size` pixels: wider, taller, smaller, exact, and with odd remainders of the crop."""
    checks = (np.indices((size * 2 + 1, size * 3 - 2)).sum(axis=0) // 3 % 2 * 255).astype(np.uint8)
    return {
        "wide": gradient(size + 5, size * 2 + 7),
        "tall": noise(size * 3 + 2, size + 9, 1),
        "small": noise(7, 11, 2),
        "exact": noise(size, size, 3),
        "checks": np.repeat(checks[..., None], 3, axis=2),
        "rounding": gradient(41, 67),
    }


def write_images(parts: dict, folder: Path, images: dict[str, np.ndarray]) -> None:
    """Writes `image.safetensors`: for each picture NAME.rgb `[h, w, 3]` u8, NAME.pixel_values and NAME.image_embeds."""
    tensors: dict[str, torch.Tensor] = {}
    for name, rgb in images.items():
        pixels = parts["feature_extractor"](images=Image.fromarray(rgb), return_tensors="pt").pixel_values
        tensors[f"{name}.rgb"] = torch.from_numpy(rgb)
        tensors[f"{name}.pixel_values"] = pixels.float().contiguous()
        tensors[f"{name}.image_embeds"] = parts["image_encoder"](pixels).image_embeds
    save_file(tensors, folder / "image.safetensors")


@torch.no_grad()
def write_clip(parts: dict, folder: Path, images: dict[str, np.ndarray]) -> None:
    """Both towers."""
    folder.mkdir(parents=True, exist_ok=True)
    write_texts(parts, folder)
    write_images(parts, folder, images)
