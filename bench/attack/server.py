"""A server under attack: its process, its memory, its log, and a client that only wants to be served."""

import http.client
import json
import os
import random
import resource
import subprocess
import tempfile
import threading
import time

import wire

TICK = 0.05


class Server:
    """`unclip serve` on a port of its own, whose memory is watched."""

    def __init__(self, program, bundle, flags=(), descriptors=None):
        command = [program, "serve", "--bundle", bundle, "--listen", "127.0.0.1:0", "--log-format", "json", *flags]
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stderr=self.log, stdout=subprocess.DEVNULL, preexec_fn=limit)
        self.address = ("127.0.0.1", self._port())
        self.peak = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _port(self):
        while self.process.poll() is None:
            for line in self.log_lines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue
                if entry.get("message") == "serving":
                    return int(entry["address"].rsplit(":", 1)[1])
            time.sleep(TICK)
        raise SystemExit(b"".join(self.log_lines()).decode())

    def log_lines(self):
        # pread: the server writes through the same offset.
        return os.pread(self.log.fileno(), 1 << 24, 0).splitlines()

    def log_bytes(self):
        return os.fstat(self.log.fileno()).st_size

    def rss(self):
        """Resident memory in MiB. 0 when the process is gone."""
        try:
            with open(f"/proc/{self.process.pid}/status") as status:
                return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024
        except (OSError, StopIteration):
            return 0

    def _watch(self):
        while self.process.poll() is None:
            self.peak = max(self.peak, self.rss())
            time.sleep(TICK)

    def descriptors(self):
        try:
            return len(os.listdir(f"/proc/{self.process.pid}/fd"))
        except OSError:
            return 0

    def stop(self):
        """Ends it as an operator does. Gives the seconds it took."""
        started = time.monotonic()
        self.process.terminate()
        self.process.wait(120)
        return time.monotonic() - started

    def kill(self):
        self.process.kill()
        self.process.wait()


class Client:
    """Draws variations of a picture of 192 KiB, one after another, each on a connection of its own, and counts."""

    def __init__(self, address, pause=0.2, patience=10):
        self.address, self.pause, self.patience = address, pause, patience
        self.asked = self.served = 0
        self.longest, self.failures = 0.0, []
        noise = random.Random(7)
        picture = wire.png(256, lambda _: noise.randbytes(768))
        self.form, self.content_type = wire.form({"image": picture, "seed": 7, "steps": 1, "upsampler_steps": 1})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()

    def _run(self):
        while not self._stop.wait(self.pause):
            started = time.monotonic()
            self.asked += 1
            try:
                status, text = self._ask()
                self.served += status == 200
                if status != 200:
                    self.failures.append(f"{status} {text[:200]}")
            except OSError as error:
                self.failures.append(type(error).__name__)
            except http.client.HTTPException as error:
                self.failures.append(type(error).__name__)
            self.longest = max(self.longest, time.monotonic() - started)

    def _ask(self):
        connection = http.client.HTTPConnection(*self.address, timeout=self.patience)
        try:
            connection.request("POST", "/v1/images/variations", self.form, {"content-type": self.content_type})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()
