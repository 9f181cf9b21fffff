"""Runs the parts, and writes the report after every finding."""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from checks.report import write

# The most valuable first. Parts of one group run at the same time: none of them measures time but for speed, alone.
GROUPS = (("trainers", "pictures", "networks", "bundles"), ("speed",))
# The share of what time is left that a group may take.
SHARES = (0.6, 1.0)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--until", type=float, required=True, help="seconds since 1970 at which everything ends")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--parts", nargs="+", default=[part for group in GROUPS for part in group])
    return parser.parse_args()


class Part:
    """A part that runs: its findings come as lines of JSON, what it says of itself goes to a log."""

    def __init__(self, name: str, options: argparse.Namespace, until: float):
        self.name, self.began, self.until, self.ended = name, time.time(), until, 0.0
        self.findings = Path("work") / f"{name}.jsonl"
        self.log = Path("work") / f"{name}.log"
        command = [sys.executable, "-m", f"checks.{name}", "--device", options.device, "--until", str(until)]
        with self.findings.open("w") as out, self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=out, stderr=log, start_new_session=True)

    def end(self) -> None:
        """Kills it, and what it started, when its time is up."""
        if self.process.poll() is None and time.time() > self.until + 3:
            os.killpg(self.process.pid, 9)
            self.process.wait()

    def state(self) -> dict:
        """What there is of it so far."""
        code = self.process.poll()
        if code is not None and not self.ended:
            self.ended = time.time()
        ended = "runs" if code is None else "ended" if code == 0 else f"failed with {code}"
        rows = []
        for line in self.findings.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:
                rows.append({"what": line[:200]})
        state = {"state": ended, "seconds": round((self.ended or time.time()) - self.began, 1), "findings": rows}
        if code not in (None, 0):
            state["log"] = self.log.read_text(errors="replace")[-3000:]
        return state


def main() -> None:
    """Group after group."""
    options = arguments()
    Path("work").mkdir(exist_ok=True)
    report: dict[str, dict] = {}
    for group, share in zip(GROUPS, SHARES):
        until = time.time() + (options.until - time.time()) * share
        parts = [Part(name, options, until) for name in group if name in options.parts]
        while True:
            running = any(part.process.poll() is None for part in parts)
            for part in parts:
                part.end()
                report[part.name] = part.state()
            write(options.out, report)
            if not running:
                break
            time.sleep(0.5)
    print((options.out / "check.md").read_text())


if __name__ == "__main__":
    main()
