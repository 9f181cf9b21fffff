#!/usr/bin/env python3
"""`make bench-reference`: one decoder forward pass of unclip against diffusers' own, same weights, dtype and threads.

The workers alternate within one run, so that a machine that slows down slows all of them; the figure is the median over
the rounds. diffusers runs twice, as it comes and with channels_last, and the faster of the two counts.

    compare.py [--threads N] [--rounds N] [--sizes demo 100m] [--dtypes f32 bf16] [--batches 1 2 8]

Prints a Markdown table for docs/benchmarks.md.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
RUST = ROOT / "target/release/examples/bench_unet"
PYTHON = Path(__file__).with_name("bench_reference.py")
MAKE = Path(__file__).with_name("make_bench_bundle.py")


class Worker:
    """A program that answers one JSON line with another."""

    def __init__(self, command: list[str]):
        environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.read()

    def read(self) -> dict:
        """The next line. A worker that ends instead has said why on standard error."""
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"bench: {self.process.args[0]} ended with {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            sys.exit(f"bench: {answer['error']}")
        return answer

    def seconds(self, batch: int, iters: int) -> list[float]:
        """Seconds of each forward pass."""
        self.process.stdin.write(json.dumps({"batch": batch, "iters": iters}) + "\n")
        self.process.stdin.flush()
        return self.read()["seconds"]

    def close(self) -> None:
        """Ends the worker."""
        self.process.stdin.close()
        self.process.wait()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", nargs="+", default=["demo", "100m"])
    parser.add_argument("--dtypes", nargs="+", default=["f32", "bf16"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 2, 8])
    return parser.parse_args()


def workers(bundle: Path, dtype: str, threads: int) -> dict[str, Worker]:
    """One of each."""
    python = [sys.executable, str(PYTHON), str(bundle), "--dtype", dtype, "--threads", str(threads)]
    return {
        "unclip": Worker([str(RUST), str(bundle), dtype, str(threads)]),
        "diffusers": Worker(python),
        "channels_last": Worker([*python, "--channels-last"]),
    }


def measure(running: dict[str, Worker], batch: int, rounds: int) -> dict[str, float]:
    """The median seconds of each worker, all of them in every round."""
    seconds = {name: [] for name in running}
    for _ in range(rounds):
        for name, worker in running.items():
            seconds[name] += worker.seconds(batch, 3 if batch < 8 else 1)
    return {name: statistics.median(values) for name, values in seconds.items()}


def processor() -> str:
    """What /proc says of the machine: model and the matrix extensions that matter for bf16."""
    text = Path("/proc/cpuinfo").read_text() if platform.system() == "Linux" else ""
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    fields = {key.strip(): value.strip() for key, value in lines.items()}
    flags = fields.get("flags", "").split()
    extensions = [flag for flag in ("avx512f", "avx512_bf16", "amx_bf16") if flag in flags]
    return f"{fields.get('model name', platform.processor())} ({', '.join(extensions) or 'no AVX-512'})"


def main() -> None:
    """Makes the bundles, runs every combination, prints the table."""
    options = arguments()
    out = ROOT / "out/bench"
    missing = [size for size in options.sizes if not (out / size / "model_index.json").is_file()]
    if missing:
        subprocess.run([sys.executable, str(MAKE), str(out), "--sizes", *missing], check=True)
    print(f"{processor()}, {options.threads} threads, {options.rounds} rounds, median seconds\n")
    print("| decoder | dtype | batch | unclip | diffusers | diffusers, channels_last | diffusers' best / unclip |")
    print("|---|---|---|---|---|---|---|")
    for size in options.sizes:
        for dtype in options.dtypes:
            running = workers(out / size, dtype, options.threads)
            for batch in options.batches:
                row = measure(running, batch, options.rounds)
                best = min(row["diffusers"], row["channels_last"])
                cells = " | ".join(f"{row[name]:.3f}" for name in ("unclip", "diffusers", "channels_last"))
                print(f"| {size} | {dtype} | {batch} | {cells} | {best / row['unclip']:.2f} |", flush=True)
            for worker in running.values():
                worker.close()


if __name__ == "__main__":
    main()
