"""Forward passes of the decoder against diffusers', same weights and dtype, the programs in turn; and what more lanes in a pass cost.
A lane is a picture at a timestep of its own; a guided one takes two."""

import json
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

from checks.tools import arguments, environment, found, left

LANES = (1, 2, 4, 8, 16)
ROUNDS = 3
# Seconds that one program measures at a time.
SLICE = 0.25


class Worker:
    """A program that answers one JSON line with another. It loads while others load."""

    def __init__(self, name: str, words: list[str], own: bool):
        self.name, self.error, self.ready, self.began = name, "", 0.0, time.time()
        self.log = Path("work") / f"bench-{name}-{time.monotonic_ns()}.log"
        more = {} if own else {"LD_PRELOAD": ""}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, env=environment(**more)
            )
        self.thread = threading.Thread(target=self.load, daemon=True)
        self.thread.start()

    def load(self) -> None:
        """Waits for its first line."""
        line = self.process.stdout.readline()
        self.ready = time.time() - self.began
        if not line:
            self.error = self.log.read_text(errors="replace")[-300:] or "ended without a word"

    def ask(self, lanes: int, iters: int, warmup: int) -> list[float]:
        """Seconds of each pass."""
        self.process.stdin.write(json.dumps({"batch": lanes, "iters": iters, "warmup": warmup}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "it ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["seconds"]


def memory() -> float:
    """MiB in use on the GPU, or nothing."""
    words = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    try:
        run = subprocess.run(words, capture_output=True, text=True, timeout=10)
        return float(run.stdout.splitlines()[0])
    except (OSError, IndexError, ValueError, subprocess.TimeoutExpired):
        return float("nan")


def workers(size: str, dtype: str, device: str, compiled: bool) -> list[Worker]:
    """One of each."""
    bundle = f"work/bench/{size}"
    python = [sys.executable, "reference/bench_reference.py", bundle, "--dtype", dtype, "--device", device, "--threads", "2"]
    all_workers = [
        Worker("unclip", ["bin/bench_unet", bundle, dtype, "2", device], True),
        Worker("diffusers", python, False),
        Worker("diffusers channels_last", [*python, "--channels-last"], False),
    ]
    if compiled:
        all_workers.append(Worker("diffusers compiled", [*python, "--compile"], False))
    return all_workers


def measure(running: list[Worker], lanes: int) -> tuple[dict[str, float], dict[str, str], float]:
    """Median milliseconds of each, what failed, and the MiB that unclip's first passes took."""
    times: dict[str, list[float]] = {worker.name: [] for worker in running}
    counts: dict[str, int] = {}
    errors: dict[str, str] = {}
    before, after = memory(), float("nan")
    for round_ in range(ROUNDS + 1):
        for worker in running:
            if worker.name in errors:
                continue
            try:
                if round_ == 0:
                    # The first pass chooses kernels; how long the second takes says how many fit into a slice.
                    counts[worker.name] = max(2, min(50, int(SLICE / worker.ask(lanes, 2, 2)[1])))
                    after = memory() if worker.name == "unclip" else after
                else:
                    times[worker.name] += worker.ask(lanes, counts[worker.name], 1)
            except (RuntimeError, OSError, ValueError) as error:
                errors[worker.name] = str(error)[:200]
    medians = {name: 1e3 * statistics.median(values) for name, values in times.items() if values}
    return medians, errors, after - before


def time_size(size: str, dtype: str, running: list[Worker], options) -> None:
    """Findings about one size and dtype."""
    for worker in running:
        if worker.error or not worker.ready:
            found(size=size, dtype=dtype, program=worker.name, failed=worker.error or "did not load in time")
    alive = [worker for worker in running if worker.ready and not worker.error]
    one: float | None = None
    for lanes in LANES if options.device != "cpu" else LANES[:2]:
        if left(options) < 6 or not alive:
            break
        medians, errors, took = measure(alive, lanes)
        own = medians.get("unclip", float("nan"))
        one = one or own
        others = [value for name, value in medians.items() if name != "unclip"]
        milliseconds = {f"{worker.name}, ms": round(medians.get(worker.name, float("nan")), 3) for worker in running}
        found(
            size=size,
            dtype=dtype,
            lanes=lanes,
            **milliseconds,
            diffusers_best_over_unclip=min(others, default=float("nan")) / own,
            unclip_ms_per_lane=own / lanes,
            throughput_over_one_lane=lanes * one / own,
            unclip_MiB_more=took,
        )
        for name, error in errors.items():
            found(size=size, dtype=dtype, lanes=lanes, program=name, failed=error)
    found(size=size, dtype=dtype, **{f"{worker.name}, seconds to load": round(worker.ready, 1) for worker in running})
    for worker in running:
        worker.process.kill()


def load(plan: list[tuple[str, str]], options) -> list[list[Worker]]:
    """All workers at once: loading takes longer than measuring. Nothing is measured before the last is there."""
    running = [workers(size, dtype, options.device, False) for size, dtype in plan]
    until = time.time() + min(60, left(options) / 2)
    for worker in (worker for group in running for worker in group):
        worker.thread.join(timeout=max(0.1, until - time.time()))
    return running


def main() -> None:
    """f16 and bf16 of every size; compiled last, since compiling takes a minute."""
    options = arguments(__doc__)
    sizes = [size for size in ("cascade", "karlo", "100m") if Path(f"work/bench/{size}/model_index.json").exists()]
    dtypes = ("f16", "bf16") if options.device != "cpu" else ("bf16",)
    plan = [(size, dtype) for dtype in dtypes for size in sizes]
    for (size, dtype), running in zip(plan, load(plan, options)):
        time_size(size, dtype, running, options)
    if options.device != "cpu" and "100m" in sizes and left(options) > 45:
        running = workers("100m", "f16", options.device, True)
        for worker in running:
            worker.thread.join(timeout=left(options))
        time_size("100m", "f16", running, options)


if __name__ == "__main__":
    main()
