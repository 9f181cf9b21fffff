"""Seeded random weights that keep a tiny network alive.

The default initialisation of a tiny network gives outputs near zero, and a test against zeros sees nothing.
Here every parameter is drawn from its own generator (so the order of parameters does not matter), norms and biases
are away from their neutral values, and the last layer of each U-Net is fitted to predict noise, so that sampling
ends in pictures with mid-tones instead of pixels clamped to 0 and 1.
"""

import zlib

import torch
from torch import nn
from torch.nn import functional as F

# How far the fitted last layer is moved away from the fit, so that every input still changes the output.
READOUT_NOISE = 0.15
RIDGE = 1e-3
# Queries and keys sharp enough that attention is not an average; time conditions mild enough that errors don't grow.
GAINS = {"to_q": 1.2, "to_k": 1.2, "q_proj": 1.2, "k_proj": 1.2, "time_emb_proj": 0.5}
LEARNED_VECTORS = ("prd_embedding", "positional_embedding")


def generator(seed: int, *names: str) -> torch.Generator:
    """An own generator for each named thing of a bundle."""
    return torch.Generator().manual_seed(zlib.crc32("/".join([str(seed), *names]).encode()))


def is_norm(name: str) -> bool:
    """Whether a parameter scales or shifts a normalisation ("pre_layrnorm" is spelt so in CLIP)."""
    return "norm" in name.rsplit(".", 1)[0].rsplit(".", 1)[-1]


def draw(name: str, shape: torch.Size, rng: torch.Generator) -> torch.Tensor:
    """Values for one parameter, chosen by what it is."""
    noise = torch.randn(shape, generator=rng)
    if name == "clip_std":
        return 0.6 + noise.abs() * 0.4
    if name == "clip_mean":
        return 0.3 * noise
    if is_norm(name):
        return 1 + 0.25 * noise if name.endswith("weight") else 0.2 * noise
    if name.endswith("bias"):
        return 0.2 * noise
    if len(shape) == 1 or name.startswith(LEARNED_VECTORS) or ".embeddings." in name and "patch" not in name:
        return 0.6 * noise
    gain = next((gain for part, gain in GAINS.items() if part in name), 1.0)
    return gain * noise / (noise[0].numel() ** 0.5)


@torch.no_grad()
def randomise(model: nn.Module, seed: int, part: str) -> None:
    """Fills every parameter of `model`."""
    for name, parameter in model.named_parameters():
        parameter.copy_(draw(name, parameter.shape, generator(seed, part, name)))
    model.eval()


def alphas_cumprod(timesteps: torch.Tensor) -> torch.Tensor:
    """The continuous cosine schedule (Nichol & Dhariwal 2021, eq. 17), enough for making training inputs."""
    return torch.cos((timesteps / 1000 + 0.008) / 1.008 * torch.pi / 2) ** 2


def smooth_pictures(count: int, size: int, rng: torch.Generator) -> torch.Tensor:
    """Soft random pictures `[count, 3, size, size]` in [-1, 1]."""
    coarse = torch.randn((count, 3, 4, 4), generator=rng)
    return F.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False).clamp(-1, 1)


@torch.no_grad()
def fit_readout(unet: nn.Module, forward, size: int, seed: int, part: str, batch: int = 48) -> None:
    """Fits `unet.conv_out`'s first three channels to predict noise, by ridge regression on its own features.

    `forward(noisy, clean, timesteps, rng)` runs the network on `[batch, 3, size, size]` inputs.
    """
    rng = generator(seed, part, "readout")
    clean = smooth_pictures(batch, size, rng)
    noise = torch.randn(clean.shape, generator=rng)
    timesteps = torch.randint(0, 1000, (batch,), generator=rng)
    a = alphas_cumprod(timesteps)[:, None, None, None].clamp(min=0)
    seen = []
    handle = unet.conv_out.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    forward(a.sqrt() * clean + (1 - a).sqrt() * noise, clean, timesteps, rng)
    handle.remove()
    columns = F.unfold(seen[0], 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    columns = torch.cat([columns, torch.ones(len(columns), 1).double()], dim=1)
    targets = noise.permute(0, 2, 3, 1).flatten(0, 2).double()
    gram = columns.T @ columns / len(columns) + RIDGE * torch.eye(columns.shape[1]).double()
    solution = torch.linalg.solve(gram, columns.T @ targets / len(columns)).float().T
    unet.conv_out.weight[:3] *= READOUT_NOISE
    unet.conv_out.weight[:3] += solution[:, :-1].reshape(3, *unet.conv_out.weight.shape[1:])
    unet.conv_out.bias[:3] *= READOUT_NOISE
    unet.conv_out.bias[:3] += solution[:, -1]
