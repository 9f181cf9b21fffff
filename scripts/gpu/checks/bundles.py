"""The decoders that are timed, with random weights, drawn on the device."""

import subprocess
import sys
import time

from checks.tools import arguments, found, left

SIZES = ("cascade", "100m", "karlo")


def main() -> None:
    """Small ones first."""
    options = arguments(__doc__)
    # On a CPU the full size would take minutes, and its passes too.
    for size in SIZES if options.device != "cpu" else SIZES[:1]:
        began = time.time()
        words = [sys.executable, "reference/make_bench_bundle.py", "work/bench", "--sizes", size]
        words += ["--device", options.device, "--dtype", "f16" if options.device != "cpu" else "f32"]
        run = subprocess.run(words, capture_output=True, text=True, timeout=left(options))
        found(size=size, seconds=time.time() - began, says=(run.stdout or run.stderr)[-200:].strip())


if __name__ == "__main__":
    main()
