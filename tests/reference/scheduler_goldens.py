"""Noise schedules, sampler steps and torch's CPU normal generator, as plain JSON."""

import itertools
import re
from pathlib import Path
from unittest import mock

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, UnCLIPScheduler
from diffusers.schedulers import scheduling_ddim, scheduling_unclip

from bpe import write_json
from weights import generator

LENGTH = 6
UNCLIP_OPTIONS = {
    "sample": {"variance_type": "fixed_small_log", "prediction_type": "sample", "clip_sample_range": 5.0},
    "epsilon": {"variance_type": "fixed_small_log", "prediction_type": "epsilon", "clip_sample_range": 1.0},
    "learned": {"variance_type": "learned_range", "prediction_type": "epsilon", "clip_sample_range": 1.0},
    "unclipped": {"variance_type": "fixed_small_log", "prediction_type": "epsilon", "clip_sample": False},
}
# (t, the timestep that follows). None: the last step.
UNCLIP_STEPS = ((999, 957), (999, 0), (957, 916), (500, 333), (500, 499), (83, 42), (42, 0), (1, 0), (0, None), (166, None))
RANDN_SEEDS = (0, 1, 42, 2**32 - 1, 2**33 + 5)
RANDN_LENGTHS = (1, 2, 3, 5, 15, 16, 17, 31, 32, 33, 48, 100, 768)
RANDN_SEQUENCES = ((5, 16, 3, 1, 33, 7), (1, 1, 1, 2), (3, 32, 32, 1, 17), (16, 1, 15, 1), (32, 768, 32, 768, 31))


def numbers(tensor: torch.Tensor) -> list[float]:
    """f32 values as the shortest decimals that read back as the same f32."""
    return [float(str(value)) for value in tensor.flatten().float().numpy()]


def vectors(name: str, *scales: float) -> list[torch.Tensor]:
    """Seeded vectors of `LENGTH`, one for each scale."""
    rng = generator(0, name)
    return [torch.randn(LENGTH, generator=rng) * scale for scale in scales]


def unclip_timesteps() -> dict[str, list[int]]:
    """Timesteps by number of steps."""
    scheduler = UnCLIPScheduler()
    out = {}
    for steps in (2, 3, 4, 5, 7, 8, 24, 25, 26, 50, 100, 999, 1000):
        scheduler.set_timesteps(steps)
        out[str(steps)] = scheduler.timesteps.tolist()
    return out


def unclip_step(name: str, step: tuple[int, int | None]) -> dict:
    """One step with a given noise vector. For learned_range the model's output is [epsilon, variance], two rows."""
    scheduler = UnCLIPScheduler(**UNCLIP_OPTIONS[name])
    t, prev = step
    output, sample, variance, noise = vectors(f"{name}/{t}/{prev}", 1.5, 1.0, 0.7, 1.0)
    # The scheduler splits channels at dimension 1.
    model_output = output[None, None]
    if name == "learned":
        model_output = torch.cat([model_output, variance[None, None]], dim=1)
    with mock.patch.object(scheduling_unclip, "randn_tensor", lambda *_, **__: noise[None, None]):
        out = scheduler.step(model_output, t, sample[None, None], prev_timestep=prev)
    return {
        "options": name,
        "timestep": t,
        "prev_timestep": prev,
        "model_output": numbers(output),
        "predicted_variance": numbers(variance) if name == "learned" else None,
        "sample": numbers(sample),
        "noise": numbers(noise),
        "prev_sample": numbers(out.prev_sample),
        "pred_original_sample": numbers(out.pred_original_sample),
    }


def unclip_add_noise(t: int) -> dict:
    """x_t of a clean vector."""
    clean, noise = vectors(f"add_noise/{t}", 1.0, 1.0)
    noisy = UnCLIPScheduler().add_noise(clean[None], noise[None], torch.tensor([t]))
    return {"timestep": t, "clean": numbers(clean), "noise": numbers(noise), "noisy": numbers(noisy)}


def ddim_step(options: dict, steps: int, index: int, eta: float) -> dict:
    """Step number `index` of `steps`, with a given noise vector."""
    scheduler = DDIMScheduler(**options)
    scheduler.set_timesteps(steps)
    t = scheduler.timesteps[index].item()
    output, sample, noise = vectors(f"ddim/{steps}/{index}/{eta}", 1.2, 1.0, 1.0)
    out = scheduler.step(output, t, sample, eta=eta, variance_noise=noise)
    return {
        "options": options,
        "steps": steps,
        "timestep": t,
        "eta": eta,
        "model_output": numbers(output),
        "sample": numbers(sample),
        "noise": numbers(noise),
        "prev_sample": numbers(out.prev_sample),
        "pred_original_sample": numbers(out.pred_original_sample),
    }


def ddim_options() -> list[dict]:
    """Every combination that changes the arithmetic."""
    return [
        {
            "beta_schedule": schedule,
            "prediction_type": prediction,
            "set_alpha_to_one": to_one,
            "clip_sample": clip,
            "clip_sample_range": 1.0,
            "timestep_spacing": "leading",
        }
        for schedule, prediction, to_one, clip in itertools.product(
            ("squaredcos_cap_v2", "linear"), ("epsilon", "sample", "v_prediction"), (True, False), (True, False)
        )
    ]


def ddim_timesteps() -> list[dict]:
    """Timesteps by spacing, steps and offset."""
    out = []
    for spacing, steps, offset in itertools.product(("leading", "linspace", "trailing"), (2, 7, 25, 50), (0, 1)):
        scheduler = DDIMScheduler(timestep_spacing=spacing, steps_offset=offset)
        scheduler.set_timesteps(steps)
        out.append({"spacing": spacing, "steps": steps, "offset": offset, "timesteps": scheduler.timesteps.tolist()})
    return out


def ddim_inverse_step(options: dict, steps: int, index: int) -> dict:
    """Step number `index` of an inversion: from a less noisy sample to a noisier one."""
    scheduler = DDIMInverseScheduler(**options)
    scheduler.set_timesteps(steps)
    t = scheduler.timesteps[index].item()
    output, sample = vectors(f"inverse/{steps}/{index}", 1.2, 1.0)
    out = scheduler.step(output, t, sample)
    return {
        "options": options,
        "steps": steps,
        "timesteps": scheduler.timesteps.tolist(),
        "timestep": t,
        "model_output": numbers(output),
        "sample": numbers(sample),
        "next_sample": numbers(out.prev_sample),
        "pred_original_sample": numbers(out.pred_original_sample),
    }


def inverse_options() -> list[dict]:
    """Inversions. `clip_sample` is off in practice: clipping cannot be inverted."""
    return [
        {"beta_schedule": schedule, "prediction_type": prediction, "set_alpha_to_one": to_one, "clip_sample": False}
        for schedule, prediction, to_one in itertools.product(
            ("squaredcos_cap_v2", "linear"), ("epsilon", "sample"), (True, False)
        )
    ]


def tables() -> list[dict]:
    """Samples of the noise tables, f32 as diffusers has them."""
    where = (0, 1, 2, 10, 100, 250, 500, 750, 900, 990, 998, 999)
    out = []
    for schedule, start, end in (
        ("squaredcos_cap_v2", 1e-4, 0.02),
        ("linear", 1e-4, 0.02),
        ("linear", 0.00085, 0.012),
        ("scaled_linear", 0.00085, 0.012),
    ):
        scheduler = DDIMScheduler(beta_schedule=schedule, beta_start=start, beta_end=end)
        index = torch.tensor(where)
        out.append(
            {
                "beta_schedule": schedule,
                "beta_start": start,
                "beta_end": end,
                "timesteps": list(where),
                "betas": numbers(scheduler.betas[index]),
                "alphas_cumprod": numbers(scheduler.alphas_cumprod[index]),
            }
        )
    return out


def randn_goldens() -> dict:
    """torch.randn on the CPU: single draws, and draws in sequence from one generator (which may keep a spare normal)."""

    def draw(seed: int, lengths: tuple[int, ...]) -> list[list[float]]:
        rng = torch.Generator("cpu").manual_seed(seed)
        return [numbers(torch.randn(length, generator=rng)) for length in lengths]

    single = [
        {"seed": seed, "length": length, "values": draw(seed, (length,))[0]}
        for seed in RANDN_SEEDS
        for length in RANDN_LENGTHS
        if length < 768 or seed in (0, 42)
    ]
    sequences = [
        {"seed": seed, "lengths": list(lengths), "values": draw(seed, lengths)}
        for seed in (0, 2**33 + 5)
        for lengths in RANDN_SEQUENCES
    ]
    return {"single": single, "sequences": sequences}


def write_schedulers(path: Path, versions: dict[str, str]) -> None:
    """Writes everything above."""
    path.parent.mkdir(parents=True, exist_ok=True)
    value = {
        "versions": versions,
        "tables": tables(),
        "unclip": {
            "options": UNCLIP_OPTIONS,
            "timesteps": unclip_timesteps(),
            "steps": [unclip_step(name, step) for name in UNCLIP_OPTIONS for step in UNCLIP_STEPS],
            "add_noise": [unclip_add_noise(t) for t in (0, 1, 500, 999)],
        },
        "ddim": {
            "timesteps": ddim_timesteps(),
            "steps": [
                ddim_step(options, steps, index, eta)
                for options in ddim_options()
                for steps, index, eta in ((10, 0, 0.0), (10, 4, 0.5), (10, 4, 1.0), (10, 9, 0.0), (25, 24, 1.0))
            ],
        },
        "ddim_inverse": [
            ddim_inverse_step(options, 10, index) for options in inverse_options() for index in (0, 1, 5, 9)
        ],
        "randn": randn_goldens(),
    }
    write_compact(path, value)


def write_compact(path: Path, value: dict) -> None:
    """JSON with lists of numbers on one line each, to keep the file small and its diffs readable."""
    write_json(path, value)
    text = path.read_text(encoding="utf-8")
    flat = re.sub(r"\[\s+((?:-?[\d.e+-]+,\s+)*-?[\d.e+-]+)\s+\]", lambda m: "[" + re.sub(r"\s+", " ", m[1]) + "]", text)
    path.write_text(flat, encoding="utf-8")
