"""Writes schedules.json, unclip.json, ddim.json, ddim_clamped.json and noise.json beside this file, out of torch and diffusers.

    python -m venv v && v/bin/pip install torch==2.11.0 diffusers==0.42.1 numpy
    v/bin/python crates/diffusion/tests/goldens/make.py [NAME ...]

Without names all of them.
"""

import json
import pathlib
import sys

import diffusers
import numpy as np
import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, UnCLIPScheduler

HERE = pathlib.Path(__file__).parent
VERSIONS = {"torch": torch.__version__.split("+")[0], "diffusers": diffusers.__version__}
assert VERSIONS == {"torch": "2.11.0", "diffusers": "0.42.1"}, VERSIONS

KARLO = {
    "prior": {"prediction_type": "sample", "variance_type": "fixed_small_log", "clip_sample_range": 5.0},
    "decoder": {"prediction_type": "epsilon", "variance_type": "learned_range", "clip_sample_range": 1.0},
    "upsampler": {"prediction_type": "epsilon", "variance_type": "fixed_small_log", "clip_sample_range": 1.0},
}


def floats(tensor):
    """The shortest decimals that read back as the same f32."""
    return [float(str(np.float32(x))) for x in tensor.detach().flatten().tolist()]


def seeded(seed):
    return torch.Generator("cpu").manual_seed(seed)


def config_of(scheduler):
    return {"_class_name": type(scheduler).__name__} | {
        k: v for k, v in scheduler.config.items() if not k.startswith("_")
    }


def write(name, content):
    text = json.dumps({"versions": VERSIONS} | content, separators=(",", ":"))
    (HERE / name).write_text(text.replace('},{"', '},\n{"') + "\n")


def sample_pair(scheduler, t, learned, seed):
    """A noisy sample at t and a model output near the truth, so that x_0 is clamped here and not there."""
    g = seeded(seed)
    x_0 = torch.randn(1, 2, 2, 2, generator=g)
    noise = torch.randn(1, 2, 2, 2, generator=g)
    x_t = scheduler.add_noise(x_0, noise, torch.tensor([max(t, 0)]))
    off = 0.3 * torch.randn(1, 2, 2, 2, generator=g)
    output = x_0 + 3 * off if scheduler.config.prediction_type == "sample" else noise + off * (noise > 0)
    if learned:
        output = torch.cat([output, torch.rand(1, 2, 2, 2, generator=g) * 2 - 1], dim=1)
    return output, x_t


def schedules():
    tables = []
    for schedule, start, end in [
        ("squaredcos_cap_v2", 0.0001, 0.02),
        ("linear", 0.0001, 0.02),
        ("linear", 0.00085, 0.012),
        ("scaled_linear", 0.00085, 0.012),
    ]:
        for n in (1000, 77):
            s = DDIMScheduler(num_train_timesteps=n, beta_schedule=schedule, beta_start=start, beta_end=end)
            at = sorted({*range(0, n, 13), 1, n // 2 - 1, n // 2, n - 2, n - 1})
            g = seeded(n)
            x_0, noise, t = torch.randn(6, generator=g), torch.randn(6, generator=g), n // 3
            tables.append({
                "config": config_of(s), "at": at, "betas": floats(s.betas[at]),
                "alphas_cumprod": floats(s.alphas_cumprod[at]),
                "q_sample": {"t": t, "x_0": floats(x_0), "noise": floats(noise),
                             "x_t": floats(s.add_noise(x_0[None], noise[None], torch.tensor([t])))},
            })
    write("schedules.json", {"tables": tables})


def unclip_steps(scheduler):
    learned = scheduler.config.variance_type == "learned_range"
    for num_steps, indices in [(25, (0, 1, 12, 23, 24)), (7, (0, 3, 5, 6)), (2, (0, 1)), (1000, (0, 500, 998, 999))]:
        scheduler.set_timesteps(num_steps)
        timesteps = scheduler.timesteps.tolist()
        for i in indices:
            t = timesteps[i]
            prev = timesteps[i + 1] if i + 1 < num_steps else None
            output, x_t = sample_pair(scheduler, t, learned, 1000 * num_steps + i)
            out = scheduler.step(output, t, x_t, prev_timestep=prev, generator=seeded(i))
            yield {
                "num_steps": num_steps, "index": i, "model_output": floats(output), "x_t": floats(x_t),
                "noise": floats(torch.randn(x_t.shape, generator=seeded(i))) if t > 0 else None,
                "prev": floats(out.prev_sample), "x_0": floats(out.pred_original_sample),
            }


def unclip_run(scheduler, num_steps, seed):
    """A whole run with one generator; the model is 0.75 x_t + 0.125, its variance half 0.25 x_t."""
    g = seeded(seed)
    x = torch.randn(1, 3, 3, 4, generator=g)
    scheduler.set_timesteps(num_steps)
    timesteps = scheduler.timesteps.tolist()
    for i, t in enumerate(timesteps):
        output = 0.75 * x + 0.125
        if scheduler.config.variance_type == "learned_range":
            output = torch.cat([output, 0.25 * x], dim=1)
        prev = timesteps[i + 1] if i + 1 < num_steps else None
        x = scheduler.step(output, t, x, prev_timestep=prev, generator=g).prev_sample
    return {"num_steps": num_steps, "seed": seed, "sample": floats(x)}


def unclip():
    timesteps = []
    for num_steps in (2, 3, 5, 7, 10, 25, 50, 64, 100, 333):
        scheduler = UnCLIPScheduler()
        scheduler.set_timesteps(num_steps)
        timesteps.append(scheduler.timesteps.tolist())
    configs = []
    for name, config in KARLO.items():
        scheduler = UnCLIPScheduler(**config)
        configs.append({"name": name, "config": config_of(scheduler), "steps": list(unclip_steps(scheduler)),
                        "run": unclip_run(scheduler, 25, 31)})
    write("unclip.json", {"timesteps": timesteps, "configs": configs})


DDIM = [
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "epsilon"},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample_range": 5.0},
    {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "sample", "clip_sample": False, "set_alpha_to_one": False},
    {"beta_schedule": "linear", "beta_start": 0.00085, "beta_end": 0.012, "prediction_type": "epsilon",
     "clip_sample": False, "steps_offset": 1, "set_alpha_to_one": False},
    {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "timestep_spacing": "trailing"},
]


def ddim_steps(scheduler, num_steps, etas):
    scheduler.set_timesteps(num_steps)
    timesteps = scheduler.timesteps.tolist()
    for i in (0, 1, num_steps // 2, num_steps - 2, num_steps - 1):
        output, x_t = sample_pair(scheduler, timesteps[i], False, 77 * num_steps + i)
        noise = torch.randn(x_t.shape, generator=seeded(i))
        for eta in etas:
            out = scheduler.step(output, timesteps[i], x_t, eta=eta, variance_noise=noise)
            yield {"index": i, "eta": eta, "model_output": floats(output), "x_t": floats(x_t),
                   "noise": floats(noise), "prev": floats(out.prev_sample), "x_0": floats(out.pred_original_sample)}


def inverse_steps(scheduler, num_steps):
    scheduler.set_timesteps(num_steps)
    timesteps = scheduler.timesteps.tolist()
    for i in (0, 1, num_steps // 2, num_steps - 1):
        if i == 0 and scheduler.config.prediction_type == "sample" and scheduler.config.set_alpha_to_one:
            continue  # The reference divides by zero.
        output, x_t = sample_pair(DDIMScheduler.from_config(scheduler.config), timesteps[max(i - 1, 0)], False, i)
        out = scheduler.step(output, timesteps[i], x_t)
        yield {"index": i, "model_output": floats(output), "x_t": floats(x_t), "prev": floats(out.prev_sample),
               "x_0": floats(out.pred_original_sample)}


def ddim():
    configs = []
    for config in DDIM:
        # Trailing only with a divisor of 1000: elsewhere DDIMScheduler steps beside its own timesteps.
        num_steps = 20 if config.get("timestep_spacing") == "trailing" else 27
        scheduler, inverse = DDIMScheduler(**config), DDIMInverseScheduler(**config)
        configs.append({"config": config_of(scheduler), "num_steps": num_steps,
                        "steps": list(ddim_steps(scheduler, num_steps, (0.0, 0.5, 1.0))),
                        "inverse": list(inverse_steps(inverse, num_steps))})
    timesteps = []
    for spacing in ("leading", "trailing", "linspace"):
        for num_steps in (2, 7, 20, 27, 50, 333, 600):
            scheduler = DDIMScheduler(timestep_spacing=spacing, steps_offset=int(spacing == "leading"))
            scheduler.set_timesteps(num_steps)
            timesteps.append({"config": config_of(scheduler), "timesteps": scheduler.timesteps.tolist()})
    write("ddim.json", {"configs": configs, "timesteps": timesteps})


def clamped_steps(scheduler, num_steps, learned):
    """Steps with the noise of the clamped x_0 and with that of the one before, on outputs as guidance makes them: far out."""
    scheduler.set_timesteps(num_steps)
    timesteps = scheduler.timesteps.tolist()
    for i in (0, 1, num_steps // 2, num_steps - 2, num_steps - 1):
        output, x_t = sample_pair(scheduler, timesteps[i], learned, 991 * num_steps + i)
        output = output * 2.0
        prediction = output[:, : x_t.shape[1]]
        noise = torch.randn(x_t.shape, generator=seeded(i))
        for clamped in (True, False):
            for eta in (0.0, 0.5, 1.0):
                out = scheduler.step(prediction, timesteps[i], x_t, eta=eta, use_clipped_model_output=clamped,
                                     variance_noise=noise)
                yield {"index": i, "eta": eta, "clamped": clamped, "model_output": floats(output), "x_t": floats(x_t),
                       "noise": floats(noise), "prev": floats(out.prev_sample), "x_0": floats(out.pred_original_sample)}


def ddim_clamped():
    """Karlo's three schedules and a linear one, as DDIMScheduler reads them; a learned variance is cut off before it."""
    configs = []
    for config in [*KARLO.values(), {"beta_schedule": "linear", "prediction_type": "epsilon", "clip_sample_range": 1.0}]:
        learned = config.get("variance_type") == "learned_range"
        options = {"beta_schedule": "squaredcos_cap_v2"} | {k: v for k, v in config.items() if k != "variance_type"}
        scheduler = DDIMScheduler(**options)
        steps = list(clamped_steps(scheduler, 20, learned))
        written = config_of(scheduler) | ({"variance_type": "learned_range"} if learned else {})
        configs.append({"config": written, "num_steps": 20, "steps": steps})
    write("ddim_clamped.json", {"configs": configs})


def noise():
    draws = [
        {"seed": seed, "len": n, "values": floats(torch.randn(n, generator=seeded(seed)))}
        for seed in (0, 42, 4294967295, 4294967296 + 7, 2**40 + 12345)
        for n in (1, 3, 5, 15, 16, 17, 31, 32, 33, 768)
        if n < 768 or seed in (42, 2**40 + 12345)
    ]
    sequences = []
    for seed, lens in [(3, (3, 16, 1, 5, 20, 2, 48, 7, 31, 1)), (2**33 + 1, (15, 15, 17, 1, 1, 64, 1)), (9, (12, 3, 3))]:
        g = seeded(seed)
        sequences.append({"seed": seed, "values": [floats(torch.randn(n, generator=g)) for n in lens]})
    write("noise.json", {"draws": draws, "sequences": sequences})


ALL = {"schedules": schedules, "unclip": unclip, "ddim": ddim, "ddim_clamped": ddim_clamped, "noise": noise}
for name in sys.argv[1:] or ALL:
    ALL[name]()
