"""The first seconds of every trainer, all at the same time as in `train`: whether they run, how fast, and what the export says."""

import os
import re
import subprocess
import time
from pathlib import Path

from checks.tools import arguments, environment, found, left, tail

# The decoder and the prior need a CLIP; any will do to see whether they run.
CLIP = "fixtures/varied/bundle"
PARTS = {"clip": 64, "decoder": 64, "prior": 64, "upsampler-first": 64, "upsampler": 256}
# Threads that make batches, of sixteen cores.
WORKERS = {"clip": 5, "decoder": 5, "prior": 1, "upsampler-first": 3, "upsampler": 3}
MINUTES = 0.3


def store(side: int) -> str:
    """The store of a side, drawn if need be."""
    words = ["bash", "-c", f'set -euo pipefail; kit="$KIT"; source "$kit/kit.sh"; store {side}']
    return subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def config(part: str, device: str) -> Path:
    """The configuration; on a CPU with batches that it can do."""
    path = Path(f"training/configs/h100/{part}.toml")
    if device != "cpu":
        return path
    text = path.read_text()
    for key, value in {"batch": 4, "count": 2, "steps": 3, "evaluated": 8, "measured": 8}.items():
        text = re.sub(rf"^{key} = [\d.]+$", f"{key} = {value}", text, flags=re.MULTILINE)
    if part == "decoder":
        text = "measured = 8\n" + text
    small = Path(f"work/small-{part}.toml")
    small.write_text(text)
    return small


def begin(part: str, device: str) -> tuple[subprocess.Popen, Path]:
    """Starts a trainer."""
    log = Path(f"work/smoke-{part}.log")
    stage = part.split("-")[0]
    words = ["bin/train", stage, "--config", config(part, device), "--run", f"work/smoke/{part}"]
    words += ["--store", store(PARTS[part]), "--device", device, "--workers", WORKERS[part] if device != "cpu" else 1]
    words += ["--within", MINUTES, *(["--clip", CLIP] if stage in ("decoder", "prior") else [])]
    with log.open("w") as file:
        return subprocess.Popen([str(word) for word in words], stdout=file, stderr=file, env=environment()), log


def export(part: str) -> tuple[str, int]:
    """What exporting a run says, and its bytes in bf16."""
    to = Path(f"work/smoke/{part}-bundle")
    words = ["bin/train", "export", f"work/smoke/{part}", "--output", str(to), "--dtype", "bf16"]
    run = subprocess.run(words, capture_output=True, text=True, env={**os.environ})
    size = sum(file.stat().st_size for file in to.rglob("*") if file.is_file())
    return "yes" if run.returncode == 0 else run.stderr[-200:], size


def main() -> None:
    """All at once: the stores first."""
    options = arguments(__doc__)
    subprocess.run(["rm", "-rf", "work/smoke"], check=True)
    for side in (64, 256):
        began = time.time()
        found(store=f"{store(side)}", seconds=time.time() - began)
    running = {part: begin(part, options.device) for part in PARTS}
    for part, (process, log) in running.items():
        try:
            code = process.wait(timeout=left(options))
        except subprocess.TimeoutExpired:
            process.kill()
            code = "out of time"
        text = tail(log, 4000)
        rate = re.findall(r"pictures_per_second=([\d.]+)", text)
        loss = re.findall(r"loss=([\d.a-zA-Z]+)", text)
        steps = re.findall(r"step=(\d+)", text)
        parameters = re.findall(r"(\d+) parameters", text)
        exported, size = export(part) if code == 0 else ("no", 0)
        last = lambda values: values[-1] if values else ""
        found(part=part, ended_with=code, steps=last(steps), loss=last(loss), pictures_per_second=last(rate),
              parameters=last(parameters), exported=exported, bf16_bytes=size)  # fmt: skip
        if code != 0:
            found(part=part, says=text[-600:])


if __name__ == "__main__":
    main()
