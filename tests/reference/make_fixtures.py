"""Makes the reference bundles and their goldens: `python tests/reference/make_fixtures.py`.

The same command gives the same bytes on one machine. Between machines the goldens may differ in their last bits,
as floating point kernels do.
"""

import argparse
import json
import os
import shutil
from importlib.metadata import version
from pathlib import Path

# Before the libraries are imported: nothing here needs the model hub, and some of them ask it all the same.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}

import diffusers
import torch
import transformers

from bpe import write_json
from bundles import load_parts, save_bundle
from clip_goldens import pictures, write_clip
from configs import COMMITTED, Bundle, from_dict, random_bundle
from network_goldens import write_networks
from pipeline_goldens import CASES, TRAINED_CASES, write_cases

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"


def versions() -> dict[str, str]:
    """The libraries whose behaviour the goldens record."""
    names = ("torch", "diffusers", "transformers", "tokenizers", "pillow", "numpy")
    return {name: version(name) for name in names}


def quiet() -> None:
    """No progress bars and no notes about optional packages."""
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()


def make_bundle(config: Bundle, root: Path) -> None:
    """Writes `root/NAME/{bundle,goldens}` anew."""
    folder = root / config.name
    shutil.rmtree(folder, ignore_errors=True)
    save_bundle(config, folder / "bundle")
    parts, goldens = load_parts(folder / "bundle"), folder / "goldens"
    images = pictures(config.vision.size)
    write_networks(config, parts, goldens)
    write_clip(parts, goldens, images)
    write_cases(goldens, CASES, lambda: load_parts(folder / "bundle"), images, versions())
    write_json(goldens / "config.json", config.to_dict())
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def make_trained(bundle: Path, goldens: Path) -> None:
    """Writes whole runs of a bundle that is there already."""
    shutil.rmtree(goldens, ignore_errors=True)
    write_cases(goldens, TRAINED_CASES, lambda: load_parts(bundle), {}, versions())


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FIXTURES, help="where to write (default: tests/fixtures)")
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--configs", type=Path, help="JSON list of configurations to make instead of the committed")
    others.add_argument("--only", choices=[config.name for config in COMMITTED], help="one of the committed")
    others.add_argument("--trained", type=Path, metavar="BUNDLE", help="only runs of this trained bundle")
    others.add_argument("--random-configs", type=int, nargs="+", metavar="SEED", help="make random ones instead")
    options = parser.parse_args()
    if (options.configs or options.random_configs) and options.out == FIXTURES:
        parser.error("--configs and --random-configs need an --out of their own")
    return options


def chosen(options: argparse.Namespace) -> list[Bundle]:
    """The configurations to make."""
    if options.configs:
        return [from_dict(value) for value in json.loads(options.configs.read_text(encoding="utf-8"))]
    if options.random_configs:
        return [random_bundle(seed) for seed in options.random_configs]
    return [config for config in COMMITTED if options.only in (None, config.name)]


def main() -> None:
    """Makes every chosen bundle and its goldens."""
    options = arguments()
    quiet()
    # One thread: sums come in one order.
    torch.set_num_threads(1)
    if options.trained:
        make_trained(options.trained, options.out / options.trained.name / "goldens")
        return
    for config in chosen(options):
        make_bundle(config, options.out)
        print(f"{options.out / config.name}: done")


if __name__ == "__main__":
    main()
