"""Whole runs by `unclip serve`: on the device against the CPU and against diffusers' recorded runs; rows of a batch against alone;
variations, inversions and edits."""

import base64
import io
import json
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from checks.tools import NO_TF32, TF32, arguments, dtypes, found, left, start, tail

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
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return [json.loads(line) for line in answer if line.strip()]
        except urllib.error.HTTPError as error:
            raise OSError(error.read().decode(errors="replace")[:300]) from error

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
    return {
        "mean_of_255": float(apart.mean()),
        "rmse_of_255": float(np.sqrt((apart**2).mean())),
        "max_of_255": float(apart.max()),
    }


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


class Works:
    """What a server makes of each kind of request, the same for all servers: arrays by what they are compared with."""

    def __init__(self, server: Server, drawn: str | None):
        goldens = Path("fixtures") / server.fixture / "goldens"
        cases = {case["name"]: case for case in json.loads((goldens / "cases.json").read_text())}
        case = cases["two_images"]
        self.server, self.request = server, options(case)
        if server.name.startswith("cpu f32"):
            found(bundle=server.fixture, diffusers_bf16_from_f32_mean_of_255=255 * case["bf16_mean_abs_error"])
        self.reference = load_file(goldens / "case_two_images.safetensors")["image"].reshape(-1)
        # Whatever is made out of a picture is made out of the same one everywhere.
        self.file = drawn or ""
        self.draw = {"seed": 3, "decoder": {"steps": 6}, "upsampler": {"steps": 3}}

    def generate(self) -> dict[str, np.ndarray]:
        """Two pictures, for the CPU's and for diffusers'."""
        drawn = self.server.images("GenerateImage", self.request | {"n": 2})
        self.file = self.file or drawn[0]["image"]
        values = np.concatenate([tensor(image["tensors"]["image"]) for image in drawn])
        off = (values - self.reference) * 255
        return {"generate": np.stack([pixels(image) for image in drawn]), "diffusers' run in f32": off}

    def batch(self) -> dict[str, np.ndarray]:
        """The last of four, and alone."""
        many = self.server.images("GenerateImage", self.request | {"n": 4})
        alone = self.server.images("GenerateImage", self.request | {"seed": self.request["seed"] + 3, "n": 1})
        one, two = (tensor(image["tensors"]["image"]) for image in (many[3], alone[0]))
        return {"picture 3 of 4, alone": (one - two) * 255}

    def vary(self) -> dict[str, np.ndarray]:
        """A variation of a picture."""
        request = {"latent": {"image": self.file}, "n": 1, "options": self.draw}
        return {"vary": pixels(self.server.images("VaryImage", request)[0])}

    def invert(self) -> dict[str, np.ndarray]:
        """A picture's latents; a standard deviation counts as 255."""
        answer = self.server.call("InvertImage", {"image": self.file, "inversion": {"steps": 10}})
        found_ = next(message["result"] for message in answer if "result" in message)
        return {"invert, x_T times 255": tensor(found_["xT"]) * 255.0}

    def edit(self) -> dict[str, np.ndarray]:
        """A picture, its left half repainted."""
        hole = Image.open(io.BytesIO(base64.b64decode(self.file))).convert("RGBA")
        hole.paste((0, 0, 0, 0), (0, 0, hole.width // 2, hole.height))
        file = io.BytesIO()
        hole.save(file, "png")
        generation = {key: value for key, value in self.request.items() if key != "returnTensors"} | {"n": 1}
        request = {"generation": generation, "image": base64.b64encode(file.getvalue()).decode(), "resample": 2}
        return {"edit": pixels(self.server.images("EditImage", request)[0])}

    def all(self) -> dict[str, np.ndarray]:
        """Every kind; what fails is told, and the next one tried."""
        made: dict[str, np.ndarray] = {}
        for kind in (self.generate, self.batch, self.vary, self.invert, self.edit):
            try:
                made |= kind()
            except Exception as error:  # noqa: BLE001: the others may still tell something
                found(bundle=self.server.fixture, on=self.server.name, request=kind.__name__, failed=f"{error!r}"[:400])
        return made


def compare(server: Server, made: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Findings about one server."""
    for name, value in made.items():
        is_difference = name.startswith(("diffusers", "picture"))
        what = name if is_difference else f"{name}: the CPU's in f32"
        other = np.zeros_like(value) if is_difference else expected.get(name, value)
        found(bundle=server.fixture, on=server.name, against=what, **difference(value, other))


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
    kinds += [] if device == "cpu" else [(device, "f32", f"{device} f32", NO_TF32)]
    kinds += [(device, dtype, f"{device} {dtype}", {}) for dtype in dtypes(device)[1:]]
    kinds += [(device, "f32", f"{device} f32 (TF32)", TF32)] if device != "cpu" else []
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
        files: dict[str, str] = {}
        for server in sorted(wait(servers, options), key=lambda server: not server.name.startswith("cpu f32")):
            works = Works(server, files.get(server.fixture))
            made = works.all()
            files.setdefault(server.fixture, works.file)
            compare(server, made, results.setdefault(server.fixture, made))
    finally:
        for server in servers:
            server.process.kill()


if __name__ == "__main__":
    main()
