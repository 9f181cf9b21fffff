"""The Python half of `make bench-reference`: times diffusers' decoder, one line of JSON at a time.

The Rust program starts this worker and alternates with it in one run, so that both meet the same machine.

    {"ready": true, ...}                        printed once, after loading
    {"batch": 2, "iters": 5}                    read; "warmup" (default 1) and "timestep" are optional
    {"batch": 2, "seconds": [0.1, ...], ...}    printed: seconds of each forward pass

An empty line or the end of input ends the worker. A bad request is answered with {"error": "..."}.
"""

import argparse
import json
import sys
import time
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import diffusers
import torch
from diffusers import UNet2DConditionModel

# With it weights are not drawn before they are read, which takes long for large networks.
HAS_ACCELERATE = find_spec("accelerate") is not None
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, help="directory that holds decoder/")
    parser.add_argument("--dtype", choices=DTYPES, default="f32")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--tokens", type=int, default=81, help="context tokens: image tokens and text (Karlo: 81)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--compile", action="store_true", help="with torch.compile")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


class Worker:
    """A loaded decoder and its inputs, by batch size."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.dtype = DTYPES[options.dtype]
        model = UNet2DConditionModel.from_pretrained(
            options.bundle / "decoder", torch_dtype=self.dtype, low_cpu_mem_usage=HAS_ACCELERATE
        )
        self.model = model.eval().to(options.device)
        if options.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        if options.compile:
            self.model = torch.compile(self.model)
        self.inputs = lru_cache(maxsize=8)(self.make_inputs)

    def make_inputs(self, batch: int) -> dict[str, torch.Tensor]:
        """Seeded inputs. Half of the text is masked, and every row has its own timestep, as when serving."""
        config, tokens = self.model.config, self.options.tokens
        rng = torch.Generator().manual_seed(self.options.seed)
        sample = torch.randn((batch, config.in_channels, config.sample_size, config.sample_size), generator=rng)
        if self.options.channels_last:
            sample = sample.to(memory_format=torch.channels_last)
        floats = {
            "sample": sample,
            "encoder_hidden_states": torch.randn((batch, tokens, config.cross_attention_dim), generator=rng),
            "class_labels": torch.randn((batch, config.time_embedding_dim or config.block_out_channels[0] * 4), generator=rng),
        }
        inputs = {name: value.to(self.options.device, self.dtype) for name, value in floats.items()}
        inputs["timestep"] = torch.linspace(999, 1, batch).round().long().to(self.options.device)
        mask = (torch.arange(tokens) < (tokens + 1) // 2).expand(batch, tokens)
        inputs["attention_mask"] = mask.to(self.options.device)
        return inputs

    def wait(self) -> None:
        """Waits for the device's queue."""
        if self.options.device.startswith("cuda"):
            torch.cuda.synchronize()

    def forward(self, inputs: dict[str, torch.Tensor]) -> float:
        """Seconds of one pass."""
        self.wait()
        start = time.perf_counter()
        self.model(**inputs)
        self.wait()
        return time.perf_counter() - start

    @torch.inference_mode()
    def answer(self, request: dict) -> dict:
        """Serves one request."""
        inputs = self.inputs(int(request["batch"]))
        for _ in range(int(request.get("warmup", 1))):
            self.forward(inputs)
        return {"batch": request["batch"], "seconds": [self.forward(inputs) for _ in range(int(request["iters"]))]}

    def description(self) -> dict:
        """What was loaded, for the report."""
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        return {
            "ready": True,
            "parameters": parameters,
            "dtype": self.options.dtype,
            "device": self.options.device,
            "threads": torch.get_num_threads(),
            "channels_last": self.options.channels_last,
            "tokens": self.options.tokens,
            "compiled": self.options.compile,
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
        }


def reply(value: dict) -> None:
    """Prints one line at once."""
    print(json.dumps(value), flush=True)


def main() -> None:
    """Loads, then serves requests from standard input."""
    options = arguments()
    torch.set_num_threads(options.threads)
    worker = Worker(options)
    reply(worker.description())
    for line in sys.stdin:
        if not line.strip():
            break
        try:
            reply(worker.answer(json.loads(line)))
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            reply({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
