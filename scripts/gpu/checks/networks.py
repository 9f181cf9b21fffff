"""Each network against diffusers': ours on the device in every dtype, diffusers' in the same dtype there, both against f32 on the
CPU. Rows of a batch against the same rows alone."""

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from checks.tools import NO_TF32, arguments, dtypes, environment, found, left

sys.path.insert(0, "reference")

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
# The networks of training/configs/h100, in the fields of `configs.Bundle`.
CASCADE = {
    "name": "cascade", "seed": 5, "dim": 256, "context_tokens": 4,
    "text": (32, 3, 4, 1024, "gelu", "first", "<|endoftext|>", "modern", 60),
    "vision": (64, 8, 192, 5, 6, 768, "gelu"),
    "prior": (4, 64, 5),
    "decoder": {"size": 16, "widths": (96, 160, 224), "layers": 1, "groups": 32, "time_scale_shift": "scale_shift",
                "head_dim": 32, "cross_dim": 192, "time": 512},
    "super_res": {"size": 64, "widths": (32, 64, 80, 96), "layers": 1, "groups": 16, "time_scale_shift": "scale_shift"},
}  # fmt: skip


def classes() -> dict:
    """diffusers' network of every folder."""
    from diffusers import PriorTransformer, UNet2DConditionModel, UNet2DModel
    from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel

    return {
        "prior": PriorTransformer,
        "text_proj": UnCLIPTextProjModel,
        "decoder": UNet2DConditionModel,
        "super_res_first": UNet2DModel,
    }


def load(bundle: Path, dtype: torch.dtype, device: str) -> dict:
    """diffusers' networks of a bundle."""
    return {
        name: kind.from_pretrained(bundle / name, torch_dtype=dtype, low_cpu_mem_usage=False).eval().to(device)
        for name, kind in classes().items()
    }


@torch.inference_mode()
def reference(parts: dict, inputs: dict, dtype: torch.dtype, device: str) -> dict[str, torch.Tensor]:
    """diffusers' outputs, f32 on the CPU."""
    cast = lambda value: value.to(device, dtype if value.is_floating_point() else None)
    get = {name: cast(value) for name, value in inputs.items()}
    out: dict[str, torch.Tensor] = {}
    words = [get[f"prior.{name}"] for name in ("x", "timesteps", "text_embedding", "text_hidden_states")]
    out["prior.out"] = parts["prior"](*words, attention_mask=get["prior.mask"]).predicted_image_embedding
    out["text_proj.context"], out["text_proj.time"] = parts["text_proj"](
        image_embeddings=get["text_proj.image_embedding"],
        prompt_embeds=get["text_proj.text_embedding"],
        text_encoder_hidden_states=get["text_proj.text_hidden_states"],
        do_classifier_free_guidance=False,
    )
    out["decoder.out"] = parts["decoder"](
        get["decoder.sample"], get["decoder.timesteps"], encoder_hidden_states=get["decoder.context"],
        class_labels=get["decoder.time"], attention_mask=get["decoder.mask"],
    ).sample  # fmt: skip
    out["super_res_first.out"] = parts["super_res_first"](get["super_res.sample"], get["super_res.timesteps"]).sample
    return {name: value.float().cpu() for name, value in out.items()}


def error(one: torch.Tensor, two: torch.Tensor) -> float:
    """The norm of the difference over that of the second."""
    return float((one - two).norm() / two.norm())


def ours(bundle: Path, inputs: Path, device: str, dtype: str, seconds: float) -> dict[str, torch.Tensor] | str:
    """What our networks give, or what went wrong."""
    to = Path("work") / f"outputs-{bundle.parent.name}-{dtype}.safetensors"
    more = NO_TF32 if dtype == "f32" else {}
    words = ["bin/network_outputs", str(bundle), str(inputs), str(to), device, dtype]
    try:
        run = subprocess.run(words, env=environment(**more), capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return "out of time"
    return load_file(to) if run.returncode == 0 else run.stderr[-400:] or f"ended with {run.returncode}"


def compare(name: str, bundle: Path, inputs: Path, options) -> None:
    """Findings about one bundle."""
    given = load_file(inputs)
    truth = reference(load(bundle, torch.float32, "cpu"), given, torch.float32, "cpu")
    for dtype in dtypes(options.device):
        theirs = reference(load(bundle, DTYPES[dtype], options.device), given, DTYPES[dtype], options.device)
        own = ours(bundle, inputs, options.device, dtype, left(options))
        if isinstance(own, str):
            found(networks=name, on=options.device, dtype=dtype, failed=own)
            continue
        for output, expected in truth.items():
            part = output.split(".")[0]
            alone = own.get(f"{part}.alone")
            found(
                network=f"{name} {output}",
                dtype=dtype,
                ours_from_cpu_f32=error(own[output], expected),
                diffusers_from_cpu_f32=error(theirs[output], expected),
                ours_from_diffusers=error(own[output], theirs[output]),
                batch_from_alone_max=float((own[output] - alone).abs().max()) if alone is not None else "",
            )


@torch.no_grad()
def make_cascade() -> tuple[Path, Path]:
    """Networks of the trained cascade's measures with random weights, and inputs for them."""
    from configs import Bundle, Prior, Text, Unet, Vision
    from network_goldens import decoder_golden, prior_golden, super_res_golden, text_proj_golden
    from weights import generator

    shape = dict(CASCADE)
    kinds = {"text": Text, "vision": Vision, "prior": Prior, "decoder": Unet, "super_res": Unet}
    for field, kind in kinds.items():
        value = shape[field]
        shape[field] = kind(**value) if isinstance(value, dict) else kind(*value)
    config = Bundle(**shape)
    bundle = Path("work/cascade/bundle")
    parts = networks_of(config)
    for name, network in parts.items():
        network.save_pretrained(bundle / name)
    index = {"_class_name": "UnCLIPPipeline"} | {name: ["diffusers", type(part).__name__] for name, part in parts.items()}
    (bundle / "model_index.json").write_text(__import__("json").dumps(index))
    tensors: dict[str, torch.Tensor] = {}
    for golden in (prior_golden, text_proj_golden, decoder_golden, super_res_golden):
        tensors |= golden(config, parts | {"super_res_last": parts["super_res_first"]}, generator(config.seed, golden.__name__))
    inputs = Path("work/cascade/inputs.safetensors")
    save_file({name: value.contiguous() for name, value in tensors.items()}, inputs)
    return bundle, inputs


def networks_of(config) -> dict:
    """diffusers' networks of a configuration; weights as diffusers draws them."""
    kinds, decoder, upper = classes(), config.decoder, config.super_res
    torch.manual_seed(config.seed)
    deeper, levels = len(decoder.widths) - 2, len(upper.widths)
    return {
        "prior": kinds["prior"](
            num_attention_heads=config.prior.heads, attention_head_dim=config.prior.head_dim, num_layers=config.prior.layers,
            embedding_dim=config.dim, num_embeddings=config.text.tokens, additional_embeddings=4,
        ),
        "text_proj": kinds["text_proj"](
            clip_extra_context_tokens=config.context_tokens, clip_embeddings_dim=config.dim,
            time_embed_dim=decoder.time_width(), cross_attention_dim=decoder.cross_dim,
        ),
        "decoder": kinds["decoder"](
            sample_size=decoder.size, in_channels=3, out_channels=6, layers_per_block=decoder.layers,
            block_out_channels=decoder.widths, norm_num_groups=decoder.groups,
            down_block_types=("ResnetDownsampleBlock2D", "SimpleCrossAttnDownBlock2D", *["SimpleCrossAttnDownBlock2D"] * deeper),
            up_block_types=("SimpleCrossAttnUpBlock2D", *["SimpleCrossAttnUpBlock2D"] * deeper, "ResnetUpsampleBlock2D"),
            mid_block_type="UNetMidBlock2DSimpleCrossAttn", cross_attention_dim=decoder.cross_dim,
            attention_head_dim=decoder.head_dim, class_embed_type="identity", resnet_time_scale_shift="scale_shift",
            time_embedding_dim=decoder.time_width(),
        ),
        "super_res_first": kinds["super_res_first"](
            sample_size=upper.size, in_channels=6, out_channels=3, layers_per_block=upper.layers, block_out_channels=upper.widths,
            down_block_types=("ResnetDownsampleBlock2D",) * levels, up_block_types=("ResnetUpsampleBlock2D",) * levels,
            add_attention=False, resnet_time_scale_shift="scale_shift", norm_num_groups=upper.groups,
        ),
    }  # fmt: skip


def main() -> None:
    """The fixtures first: they are small."""
    options = arguments(__doc__)
    torch.backends.cudnn.allow_tf32 = False
    torch.set_num_threads(max(1, min(4, (os.cpu_count() or 2) // 4)))
    found(torch=torch.__version__, cuda=str(torch.version.cuda), sees_gpu=torch.cuda.is_available(),
          gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else "none", cores=os.cpu_count(),
          home=os.getcwd())  # fmt: skip
    fixtures = [(name, Path(f"fixtures/{name}/bundle"), Path(f"fixtures/{name}/goldens/networks.safetensors")) for name in ("tiny", "varied")]
    for name, make in [(entry[0], lambda entry=entry: entry[1:]) for entry in fixtures] + [("cascade", make_cascade)]:
        try:
            bundle, inputs = make()
            compare(name, bundle, inputs, options)
        except Exception as error:  # noqa: BLE001: the next bundle may still tell something
            found(networks=name, failed=f"{type(error).__name__}: {error}"[:400])


if __name__ == "__main__":
    main()
