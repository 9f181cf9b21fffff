"""Whole runs by `unclip serve`: on the device against the CPU and against diffusers' recorded runs; rows of a batch against alone;
variations, inversions and edits."""

import base64
import io
import json
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from checks.tools import NO_TF32, arguments, dtypes, found, left, start, tail

FIRST_PORT = 50300


class Server:
    """One that runs, or why it does not."""

    def __init__(self, fixture: str, device: str, dtype: str, port: int, name: str, **more: str):
        self.fixture, self.dtype, self.name, self.port = fixture, dtype, name, port
        self.log = Path("work") / f"serve-{fixture}-{port}.log"
        self.began = time.time()
        words = ["serve", "--bundle", f"work/{fixture}", "--listen", f"127.0.0.1:{port}"]
        words += ["--device", device, "--dtype", dtype, "--threads", "2"]
        self.process = start("unclip", *words, log=self.log, **more)

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            self.call("ListModels", {})
            return True
        except OSError:
            return False

    def call(self, method: str, request: dict) -> list[dict]:
        """All messages of an answer."""
        url = f"http://127.0.0.1:{self.port}/api/unclip.v1.UnclipService/{method}"
        body = json.dumps(request).encode()
        request = urllib.request.Request(url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return [json.loads(line) for line in answer if line.strip()]

    def images(self, method: str, request: dict) -> list[dict]:
        """The pictures of an answer, in order."""
        images = []
        for message in self.call(method, request):
            if "error" in message:
                raise RuntimeError(message["error"]["message"])
            if "image" in message:
                images.append(message["image"])
        return sorted(images, key=lambda image: image.get("imageIndex", 0))


def pixels(image: dict) -> np.ndarray:
    """The file's pixels, 0 to 255."""
    file = io.BytesIO(base64.b64decode(image["image"]))
    return np.asarray(Image.open(file).convert("RGB"), dtype=np.float64)


def tensor(value: dict) -> np.ndarray:
    """A tensor of an answer, flat."""
    return np.frombuffer(base64.b64decode(value["data"]), dtype=np.float32)


def difference(one: np.ndarray, two: np.ndarray) -> dict:
    """How far two pictures are apart."""
    apart = np.abs(one - two)
    return {"rmse_of_255": float(np.sqrt((apart**2).mean())), "max_of_255": float(apart.max())}


def options(case: dict) -> dict:
    """A recorded run's request."""
    stage = lambda name, guided: {"steps": case["steps"][name]} | (
        {"guidanceScale": case["guidance"][name]} if guided else {}
    )
    return {
        "prompt": case["prompt"],
        "seed": case["seed"],
        "prior": stage("prior", True),
        "decoder": stage("decoder", True),
        "upsampler": stage("super_res", False),
        "returnTensors": True,
    }


def works(server: Server) -> dict[str, np.ndarray]:
    """What a server makes of every kind of request, pictures by name."""
    goldens = Path("fixtures") / server.fixture / "goldens"
    cases = {case["name"]: case for case in json.loads((goldens / "cases.json").read_text())}
    request = options(cases["two_images"])
    made: dict[str, np.ndarray] = {}
    drawn = server.images("GenerateImage", request | {"n": 2})
    made["generate"] = np.stack([pixels(image) for image in drawn])
    reference = load_file(goldens / "case_two_images.safetensors")["image"]
    values = np.concatenate([tensor(image["tensors"]["image"]) for image in drawn])
    made["diffusers"] = np.abs(values - reference.reshape(-1)) * 255
    many = server.images("GenerateImage", request | {"n": 4})
    alone = server.images("GenerateImage", request | {"seed": request["seed"] + 3, "n": 1})[0]
    made["batch"] = np.abs(tensor(many[3]["tensors"]["image"]) - tensor(alone["tensors"]["image"])) * 255
    file = drawn[0]["image"]
    draw = {"seed": 3, "decoder": {"steps": 6}, "upsampler": {"steps": 3}}
    for image in server.images("VaryImage", {"latent": {"image": file}, "n": 1, "options": draw}):
        made["vary"] = pixels(image)
    for image in server.images("ReconstructImage", {"latent": {"image": file}, "options": draw}):
        made["reconstruct"] = pixels(image)
    hole = Image.open(io.BytesIO(base64.b64decode(file))).convert("RGBA")
    hole.paste((0, 0, 0, 0), (0, 0, hole.width // 2, hole.height))
    edited = io.BytesIO()
    hole.save(edited, "png")
    edit = request | {"n": 1, "image": base64.b64encode(edited.getvalue()).decode(), "resample": 2}
    edit.pop("returnTensors")
    for image in server.images("EditImage", edit):
        made["edit"] = pixels(image)
    return made


def compare(server: Server, made: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Findings about one server."""
    for name, value in made.items():
        if name in ("diffusers", "batch"):
            what = "diffusers' run in f32" if name == "diffusers" else "picture 3 of 4, alone"
            apart = {"rmse_of_255": float(np.sqrt((value**2).mean())), "max_of_255": float(value.max())}
        elif name in expected:
            what, apart = f"{name}, the CPU's in f32", difference(value, expected[name])
        else:
            continue
        found(bundle=server.fixture, on=server.name, against=what, **apart)


def wait(servers: list[Server], options) -> list[Server]:
    """Those that got ready."""
    ready: list[Server] = []
    waiting = list(servers)
    while waiting and left(options) > 15:
        for server in list(waiting):
            if server.is_ready():
                seconds = time.time() - server.began
                found(bundle=server.fixture, on=server.name, seconds_from_start_to_ready=seconds)
                ready.append(server)
                waiting.remove(server)
            elif server.process.poll() is not None:
                found(bundle=server.fixture, on=server.name, failed=tail(server.log))
                waiting.remove(server)
        time.sleep(0.2)
    for server in waiting:
        found(bundle=server.fixture, on=server.name, failed="not ready in time: " + tail(server.log))
    return ready


def servers_of(device: str) -> list[Server]:
    """One of each kind, the CPU's first."""
    kinds = [("cpu", "f32", "cpu f32", NO_TF32)]
    kinds += [(device, dtype, f"{device} {dtype}", NO_TF32 if dtype == "f32" else {}) for dtype in dtypes(device)]
    kinds += [(device, "f32", f"{device} f32 (TF32)", {})] if device != "cpu" else []
    all_kinds = [(fixture, *kind) for fixture in ("tiny", "varied") for kind in kinds]
    return [
        Server(fixture, on, dtype, FIRST_PORT + index, name, **more)
        for index, (fixture, on, dtype, name, more) in enumerate(all_kinds)
    ]


def main() -> None:
    """Starts everything at once: what takes time is loading libraries."""
    options = arguments(__doc__)
    imports = [
        start("unclip", "import", f"fixtures/{name}/bundle", "-o", f"work/{name}", log=Path(f"work/import-{name}.log"))
        for name in ("tiny", "varied")
        if not Path(f"work/{name}").exists()
    ]
    for process in imports:
        process.wait(timeout=left(options))
    servers = servers_of(options.device)
    try:
        results: dict[str, dict[str, np.ndarray]] = {}
        ready = wait(servers, options)
        for server in sorted(ready, key=lambda server: not server.name.startswith("cpu")):
            try:
                made = works(server)
                results.setdefault(server.fixture, made)
                compare(server, made, results[server.fixture])
            except (OSError, RuntimeError, KeyError, ValueError) as error:
                found(bundle=server.fixture, on=server.name, failed=f"{error!r} {tail(server.log)}")
    finally:
        for server in servers:
            server.process.kill()


if __name__ == "__main__":
    main()
