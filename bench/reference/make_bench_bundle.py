"""Makes the random-weight decoders that `make bench-reference` times: `python make_bench_bundle.py out/bench`.

Speed does not depend on the values of weights, so diffusers' own initialisation is used, from a fixed seed. Only
`model_index.json` and `decoder/` are written.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

# "cascade" is the decoder that training/configs/h100 trains; "demo" is what a small trained bundle has; "100m" has the shape of
# Karlo's decoder, narrower; "karlo" is Karlo's own.
SIZES = {
    "cascade": {
        "sample_size": 16,
        "block_out_channels": (96, 160, 224),
        "layers_per_block": 1,
        "cross_attention_dim": 192,
        "head_dim": 32,
        "time_embedding_dim": 512,
    },
    "demo": {"block_out_channels": (64, 128, 192), "layers_per_block": 1, "cross_attention_dim": 256, "head_dim": 64},
    "100m": {
        "block_out_channels": (128, 256, 384, 512),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "head_dim": 64,
    },
    "karlo": {
        "block_out_channels": (320, 640, 960, 1280),
        "layers_per_block": 3,
        "cross_attention_dim": 2048,
        "head_dim": 64,
    },
}
DTYPES = {"f32": torch.float32, "f16": torch.float16}


def decoder(size: str) -> UNet2DConditionModel:
    """One decoder, 64 px unless the size says otherwise."""
    shape = SIZES[size]
    deeper = len(shape["block_out_channels"]) - 1
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=shape.get("sample_size", 64),
        time_embedding_dim=shape.get("time_embedding_dim"),
        in_channels=3,
        out_channels=6,
        layers_per_block=shape["layers_per_block"],
        block_out_channels=shape["block_out_channels"],
        down_block_types=("ResnetDownsampleBlock2D", *["SimpleCrossAttnDownBlock2D"] * deeper),
        mid_block_type="UNetMidBlock2DSimpleCrossAttn",
        up_block_types=(*["SimpleCrossAttnUpBlock2D"] * deeper, "ResnetUpsampleBlock2D"),
        cross_attention_dim=shape["cross_attention_dim"],
        attention_head_dim=shape["head_dim"],
        class_embed_type="identity",
        resnet_time_scale_shift="scale_shift",
    )


def make(size: str, root: Path, device: str, dtype: str) -> None:
    """Writes `root/SIZE`, with weights drawn on a device, which is quicker for large ones on a GPU."""
    folder = root / size
    with torch.device(device):
        model = decoder(size).to(DTYPES[dtype])
    model.save_pretrained(folder / "decoder")
    index = {"_class_name": "UnCLIPPipeline", "decoder": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    print(f"{folder}: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")


def main() -> None:
    """Makes the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where to write, out/bench for example")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=["demo", "100m"])
    parser.add_argument("--device", default="cpu", help="where the weights are drawn")
    parser.add_argument("--dtype", choices=DTYPES, default="f32", help="what they are kept in")
    options = parser.parse_args()
    for size in options.sizes:
        make(size, options.out, options.device, options.dtype)


if __name__ == "__main__":
    main()
