"""What the parts share."""

import argparse
import json
import os
import subprocess
import time
from pathlib import Path


def arguments(about: str) -> argparse.Namespace:
    """A part's command line."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--until", type=float, default=time.time() + 600)
    return parser.parse_args()


def found(**finding: object) -> None:
    """A line of the report."""
    print(json.dumps(finding, default=str), flush=True)


def left(options: argparse.Namespace) -> float:
    """Seconds that are left, at least a moment."""
    return max(options.until - time.time(), 0.1)


def environment(**more: str) -> dict[str, str]:
    """A program's environment: torch's CUDA library is preloaded."""
    return {**os.environ, "LD_PRELOAD": os.environ.get("KIT_PRELOAD", ""), **more}


def start(name: str, *words: object, log: Path, **more: str) -> subprocess.Popen:
    """Starts one of the kit's programs; all that it says goes to a file."""
    with log.open("w") as file:
        command = [f"bin/{name}", *map(str, words)]
        return subprocess.Popen(command, stdout=file, stderr=file, env=environment(**more))


def tail(log: Path, length: int = 400) -> str:
    """The end of a log, without the progress bar's escapes."""
    text = "".join(c for c in log.read_text(errors="replace") if c.isprintable() or c == "\n")
    return text.strip()[-length:]


def dtypes(device: str) -> tuple[str, ...]:
    """What networks can compute in."""
    return ("f32", "bf16", "f16") if device.startswith("cuda") else ("f32", "bf16")


# f32 means f32: without this cuDNN rounds a convolution's operands to TF32.
NO_TF32 = {"NVIDIA_TF32_OVERRIDE": "0"}
# The servers set the former by themselves.
TF32 = {"NVIDIA_TF32_OVERRIDE": "1"}
