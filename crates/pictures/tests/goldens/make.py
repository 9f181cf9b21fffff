#!/usr/bin/env python3
"""Makes the goldens of `pad` with Pillow 13.0.0: python3 -m pip install pillow==13.0.0, then run this here."""

import pathlib
import random

import PIL
from PIL import Image, ImageOps

FOLDER = pathlib.Path(__file__).parent
SIZES = [(64, 64), (7, 7), (60, 35), (35, 60), (24, 24), (1, 9)]


def main():
    assert PIL.__version__ == "13.0.0", PIL.__version__
    draw = random.Random(7)
    source = Image.new("RGB", (24, 24))
    # Noise and hard edges: overshoot and every phase of the filter show.
    source.putdata([tuple(draw.choice((0, 255, draw.randrange(256))) for _ in range(3)) for _ in range(24 * 24)])
    source.save(FOLDER / "source.png")
    for width, height in SIZES:
        beside = width > height
        edges = [source.getpixel((x, y)) for y in range(24) for x in range(24) if (x if beside else y) in (0, 23)]
        ground = tuple(sorted(channel)[len(edges) // 2] for channel in zip(*edges))
        padded = ImageOps.pad(source, (width, height), method=Image.Resampling.LANCZOS, color=ground)
        padded.save(FOLDER / f"padded-{width}x{height}.png")


main()
