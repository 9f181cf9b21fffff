"""What a reference bundle may look like: the two committed configurations and random ones."""

import random
from dataclasses import asdict, dataclass, fields

from bpe import END


@dataclass(frozen=True)
class Text:
    """CLIP text tower. `eos_rule` is "argmax" (config.eos_token_id 2, as in Karlo) or "first" (the true id).

    `files` is "legacy" (as in the Karlo repository, the configs of all parts with it) or "modern" (as
    `save_pretrained` writes today).
    """

    tokens: int
    layers: int
    heads: int
    mlp: int
    activation: str
    eos_rule: str
    pad: str
    files: str
    merges: int


@dataclass(frozen=True)
class Vision:
    """CLIP vision tower; images are resized and cropped to `size`."""

    size: int
    patch: int
    width: int
    layers: int
    heads: int
    mlp: int
    activation: str


@dataclass(frozen=True)
class Prior:
    """Prior transformer; its width is `heads * head_dim`."""

    heads: int
    head_dim: int
    layers: int


@dataclass(frozen=True)
class Unet:
    """A decoder (with `head_dim` and `cross_dim`) or an upsampler (without). `time` is the width of the time embedding, 0 for
    diffusers' own."""

    size: int
    widths: tuple[int, ...]
    layers: int
    groups: int
    time_scale_shift: str
    head_dim: int = 0
    cross_dim: int = 0
    time: int = 0

    def time_width(self) -> int:
        """The width of the time embedding."""
        return self.time or self.widths[0] * 4


@dataclass(frozen=True)
class Bundle:
    """One bundle. `dim` is the CLIP embedding size, which in this layout is also the text tower's width."""

    name: str
    seed: int
    dim: int
    context_tokens: int
    text: Text
    vision: Vision
    prior: Prior
    decoder: Unet
    super_res: Unet

    def to_dict(self) -> dict:
        """Plain values, as `from_dict` takes them."""
        return asdict(self)


def from_dict(value: dict) -> Bundle:
    """The inverse of `Bundle.to_dict`, for `--configs FILE`."""
    kinds = {field.name: field.type for field in fields(Bundle)}

    def build(name: str, item: object) -> object:
        kind = kinds[name]
        if kind in (int, str):
            return item
        return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in item.items()})

    return Bundle(**{name: build(name, item) for name, item in value.items()})


TINY = Bundle(
    name="tiny",
    seed=1,
    dim=32,
    context_tokens=4,
    text=Text(77, 2, 2, 64, "quick_gelu", "argmax", "!", "legacy", 60),
    vision=Vision(32, 8, 24, 2, 2, 48, "quick_gelu"),
    prior=Prior(2, 16, 2),
    decoder=Unet(16, (32, 64), 1, 8, "scale_shift", head_dim=16, cross_dim=32),
    super_res=Unet(32, (16, 32), 1, 4, "default"),
)

VARIED = Bundle(
    name="varied",
    seed=2,
    dim=40,
    context_tokens=3,
    text=Text(24, 3, 4, 72, "gelu", "first", END, "modern", 45),
    vision=Vision(30, 6, 48, 3, 3, 80, "gelu"),
    prior=Prior(3, 12, 3),
    decoder=Unet(12, (8, 16, 24), 2, 4, "default", head_dim=8, cross_dim=20, time=44),
    super_res=Unet(24, (12, 12, 20), 2, 4, "scale_shift", time=36),
)

COMMITTED = (TINY, VARIED)


def random_unet(rng: random.Random, levels: int, layers: int, size: int, step: int, shift: str) -> Unet:
    """Widths are multiples of `step`, even (the time embedding halves the first) and never falling.

    A group has two channels or more: alone in its group, a channel would lose its bias and its time embedding again.
    """
    widths = tuple(sorted(step * rng.randint(1, 4) for _ in range(levels)))
    groups = rng.choice([g for g in (1, 2, 4, 6) if step % g == 0 and g < step])
    return Unet(size, widths, layers, groups, shift)


def random_bundle(seed: int) -> Bundle:
    """A valid configuration drawn from `seed`, for checks against files that are never committed."""
    rng = random.Random(seed)
    heads, head_dim = rng.randint(1, 4), rng.choice((4, 6, 8, 10))
    levels, sr_levels = rng.randint(2, 4), rng.randint(1, 3)
    size = 2 ** (levels - 1) * rng.randint(1, 4) if levels > 2 else 2 * rng.randint(4, 9)
    ratio = rng.choice((2, 3, 4))
    shifts = ("default", "scale_shift")
    decoder = random_unet(rng, levels, rng.randint(1, 3), size, step := rng.choice((8, 12, 16)), rng.choice(shifts))
    decoder = Unet(**{**asdict(decoder), "head_dim": rng.choice((4, step)), "cross_dim": rng.choice((12, 28, 44))})
    sr_size = -(-size * ratio // 2 ** (sr_levels - 1)) * 2 ** (sr_levels - 1)
    return Bundle(
        name=f"random-{seed}",
        seed=seed,
        dim=heads * head_dim * 2,
        context_tokens=rng.randint(1, 8),
        text=Text(
            tokens=rng.randint(9, 80),
            layers=rng.randint(1, 4),
            heads=heads,
            mlp=rng.choice((32, 50, 64)),
            activation=rng.choice(("quick_gelu", "gelu")),
            eos_rule=rng.choice(("argmax", "first")),
            pad=rng.choice(("!", END)),
            files=rng.choice(("legacy", "modern")),
            merges=rng.randint(20, 80),
        ),
        vision=Vision(
            size=(patch := rng.choice((4, 5, 7, 9))) * rng.randint(3, 6),
            patch=patch,
            width=rng.choice((12, 24, 36)),
            layers=rng.randint(1, 3),
            heads=rng.choice((1, 2, 3)),
            mlp=rng.choice((32, 50, 64)),
            activation=rng.choice(("quick_gelu", "gelu")),
        ),
        prior=Prior(rng.randint(1, 5), rng.choice((6, 8, 10, 16)), rng.randint(1, 4)),
        decoder=decoder,
        super_res=random_unet(rng, sr_levels, rng.randint(1, 3), sr_size, rng.choice((8, 12)), rng.choice(shifts)),
    )
