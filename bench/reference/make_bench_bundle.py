"""Makes the random-weight decoders that `make bench-reference` times: `python make_bench_bundle.py out/bench`.

Speed does not depend on the values of weights, so diffusers' own initialisation is used, from a fixed seed. Only
`model_index.json` and `decoder/` are written.
"""

import argparse
import json
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel

# "demo" is what a small trained bundle has; "100m" has the shape of Karlo's decoder, narrower.
SIZES = {
    "demo": {"block_out_channels": (64, 128, 192), "layers_per_block": 1, "cross_attention_dim": 256, "head_dim": 64},
    "100m": {
        "block_out_channels": (128, 256, 384, 512),
        "layers_per_block": 2,
        "cross_attention_dim": 768,
        "head_dim": 64,
    },
}


def decoder(size: str) -> UNet2DConditionModel:
    """One decoder, 64 px."""
    shape = SIZES[size]
    deeper = len(shape["block_out_channels"]) - 1
    torch.manual_seed(0)
    return UNet2DConditionModel(
        sample_size=64,
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


def make(size: str, root: Path) -> None:
    """Writes `root/SIZE`."""
    folder = root / size
    model = decoder(size)
    model.save_pretrained(folder / "decoder")
    index = {"_class_name": "UnCLIPPipeline", "decoder": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model_index.json").write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    print(f"{folder}: {sum(parameter.numel() for parameter in model.parameters()) / 1e6:.1f} M parameters")


def main() -> None:
    """Makes the sizes asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="where to write, out/bench for example")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    options = parser.parse_args()
    for size in options.sizes:
        make(size, options.out)


if __name__ == "__main__":
    main()
