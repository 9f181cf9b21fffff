"""Whole runs of diffusers' own pipelines, with the values that pass between the stages.

Nothing of the sampling loop is written again here: the pipelines run as they are, and hooks look at what their
networks are given. Image k of a case has its own generator, seeded with `seed + k`.
"""

import functools
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from diffusers.pipelines.deprecated.unclip.pipeline_unclip import UnCLIPPipeline
from diffusers.pipelines.deprecated.unclip.pipeline_unclip_image_variation import UnCLIPImageVariationPipeline
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional as F

from bpe import write_json

NETWORKS = ("prior", "text_proj", "decoder", "super_res_first", "super_res_last")
LONG = "a very long caption that goes on and on, " * 12 + "and ends with a fox"


@dataclass(frozen=True)
class Case:
    """One call. `steps` and `guidance` are (prior, decoder[, super_res]). `image` names a variation's source."""

    name: str
    prompt: str
    seed: int
    steps: tuple[int, int, int]
    guidance: tuple[float, float]
    n: int = 1
    image: str | None = None


CASES = (
    Case("defaults", "a red fox in the snow", 0, (25, 25, 7), (4.0, 8.0)),
    Case("two_images", "A Corgi playing a flame-throwing trumpet!", 42, (3, 4, 2), (4.0, 8.0), n=2),
    Case("unicode_unguided", "naïve café, 東京 🦊 Ünïcödé", 7, (5, 2, 3), (1.0, 1.0)),
    Case("empty_decoder_guided", "", 2**33 + 5, (4, 4, 4), (1.0, 3.0)),
    Case("long_prior_guided", LONG, 2**32 - 1, (6, 5, 3), (2.0, 1.0), n=2),
    Case("low_prior_guidance", "oil painting of the sea at night", 123456789, (2, 3, 2), (0.5, 3.0)),
    Case("fewest_steps", "cat", 1, (2, 2, 2), (1.5, 1.0), n=3),
    Case("one_step_more_than_defaults", "portrait of the astronaut", 99, (26, 24, 8), (1.0, 2.0)),
    Case("unguided_two_images", "it's raining in the city", 14, (3, 3, 3), (0.0, 1.0), n=2),
    Case("variation", "", 5, (0, 5, 3), (0.0, 3.0), image="wide"),
    Case("variation_two_images_unguided", "", 6, (0, 3, 2), (0.0, 1.0), n=2, image="tall"),
)

# Of the trained bundle, whose runs are long enough to be pictures. The last is what `make demo` draws.
TRAINED_CASES = (
    Case("two_rockets", "rocket, twemoji style", 1, (10, 12, 5), (2.0, 4.0), n=2),
    Case("red_heart", "a red heart", 7, (25, 25, 2), (4.0, 3.0)),
)


@contextmanager
def watched(parts: dict, seen: dict):
    """Fills `seen` with the first text encoding, the image embedding and the decoded picture of one call."""

    def text(_module, _args, out):
        seen.setdefault("text_embedding", out.text_embeds)
        seen.setdefault("text_hidden_states", out.last_hidden_state)

    def projection(_module, _args, kwargs):
        seen["image_embedding"] = kwargs["image_embeddings"]

    @functools.wraps(F.interpolate)
    def interpolate(*args, _original=F.interpolate, **kwargs):
        if kwargs.get("mode") == "bicubic":
            seen["decoded"] = args[0]
        return _original(*args, **kwargs)

    hooks = (
        parts["text_encoder"].register_forward_hook(text),
        parts["text_proj"].register_forward_pre_hook(projection, with_kwargs=True),
    )
    with mock.patch.object(F, "interpolate", interpolate):
        yield
    for hook in hooks:
        hook.remove()


def pipeline(kind: type, parts: dict):
    """One of the two pipelines, assembled from parts."""
    names = [name for name in kind.__init__.__annotations__ if name in parts]
    pipe = kind(**{name: parts[name] for name in names})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def call(case: Case, parts: dict, pictures: dict[str, np.ndarray]) -> np.ndarray:
    """The pictures `[n, H, W, 3]` of one case."""
    options = {
        "num_images_per_prompt": case.n,
        "generator": [torch.Generator("cpu").manual_seed(case.seed + k) for k in range(case.n)],
        "decoder_num_inference_steps": case.steps[1],
        "super_res_num_inference_steps": case.steps[2],
        "decoder_guidance_scale": case.guidance[1],
        "output_type": "np",
    }
    if case.image is not None:
        source = Image.fromarray(pictures[case.image])
        return pipeline(UnCLIPImageVariationPipeline, parts)(source, **options).images
    options |= {"prior_num_inference_steps": case.steps[0], "prior_guidance_scale": case.guidance[0]}
    return pipeline(UnCLIPPipeline, parts)(case.prompt, **options).images


def run_case(case: Case, parts: dict, pictures: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    """All tensors of one case, with a row for each picture."""
    seen: dict[str, torch.Tensor] = {}
    with watched(parts, seen):
        images = call(case, parts, pictures)
    for name in ("text_embedding", "text_hidden_states"):
        seen[name] = seen[name].repeat_interleave(case.n, dim=0)
    seen["image"] = torch.from_numpy(images).permute(0, 3, 1, 2)
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in seen.items()}


def compute_in(module: torch.nn.Module, dtype: torch.dtype) -> None:
    """Makes a network compute in `dtype` while it takes and gives f32, so that samplers stay in f32."""
    forward = module.forward

    def cast(value, kind):
        return value.to(kind) if torch.is_tensor(value) and value.is_floating_point() else value

    def wrapped(*args, **kwargs):
        out = forward(*(cast(a, dtype) for a in args), **{k: cast(v, dtype) for k, v in kwargs.items()})
        if isinstance(out, tuple):
            return tuple(cast(value, torch.float32) for value in out)
        for key, value in out.items():
            out[key] = cast(value, torch.float32)
        return out

    module.to(dtype)
    module.forward = wrapped


def parts_in(dtype: torch.dtype, parts: dict) -> dict:
    """Turns the parts into those that compute in `dtype` (in place). The prior's final scaling stays in f32."""
    mean, std = parts["prior"].clip_mean.clone(), parts["prior"].clip_std.clone()
    parts["prior"].post_process_latents = lambda latents: latents * std + mean
    for name in NETWORKS:
        compute_in(parts[name], dtype)
    return parts


def case_entry(case: Case, tensors: dict[str, torch.Tensor], versions: dict[str, str]) -> dict:
    """What `cases.json` says about one case."""
    entry = {**asdict(case), "file": f"case_{case.name}.safetensors"}
    entry["steps"] = dict(zip(("prior", "decoder", "super_res"), case.steps))
    entry["guidance"] = dict(zip(("prior", "decoder"), case.guidance))
    entry["shapes"] = {name: list(tensor.shape) for name, tensor in sorted(tensors.items())}
    entry["versions"] = versions
    return entry


def mean_abs(a: torch.Tensor, b: torch.Tensor) -> float:
    """Mean absolute difference, with few enough digits to be stable."""
    return float(f"{(a - b).abs().mean().item():.4g}")


def errors(case: Case, others: dict[str, dict], pictures: dict, tensors: dict[str, torch.Tensor]) -> dict[str, float]:
    """How far the same run drifts when its networks compute in other types: the budget of an implementation."""
    found = {}
    for dtype, parts in others.items():
        run = run_case(case, parts, pictures)
        for name in ("image_embedding", "decoded", "image"):
            key = f"{dtype}_mean_abs_error" if name == "image" else f"{dtype}_{name}_mean_abs_error"
            found[key] = mean_abs(run[name], tensors[name])
    return found


@torch.no_grad()
def write_cases(
    folder: Path, cases: tuple[Case, ...], load, pictures: dict[str, np.ndarray], versions: dict[str, str]
) -> None:
    """Writes a file for each case, and `cases.json` with the errors that bf16 and f64 networks make of it."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = load()
    others = {"bf16": parts_in(torch.bfloat16, load()), "f64": parts_in(torch.float64, load())}
    entries = []
    for case in cases:
        tensors = run_case(case, parts, pictures)
        entry = case_entry(case, tensors, versions) | errors(case, others, pictures, tensors)
        entries.append(entry)
        # One metadata key: safetensors does not write several in a fixed order.
        save_file(tensors, folder / entry["file"], metadata={"case": json.dumps(entry, sort_keys=True)})
    write_json(folder / "cases.json", entries)
