"""The attacks. Each takes a server's address and a scale (1: all of it), and says what became of it."""

import base64
import json
import random
import struct
import threading
import time

import wire

MIB = 1 << 20


def together(work, count):
    """Runs `work(k)` in threads and gives what came back."""
    results = [None] * count

    def run(at):
        try:
            results[at] = work(at)
        except OSError:
            pass

    threads = [threading.Thread(target=run, args=(at,)) for at in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def hold(connections, seconds):
    """Waits, and says how many connections the server has closed by then."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.5)
        still = sum(wire.is_open(one) for one in connections)
        if not still:
            break
    open_now = [one for one in connections if wire.is_open(one)]
    for one in connections:
        one.close()
    return f"{len(connections) - len(open_now)} of {len(connections)} closed"


def silent(server, scale):
    """Connections that say nothing"""
    count = int(1500 * scale)
    return hold([one for one in (wire.connect(server.address, 1) for _ in range(count)) if one], 20)


def slow_heads(server, scale):
    """Heads that come a byte a second"""
    connections = [wire.connect(server.address) for _ in range(int(200 * scale))]
    text = wire.head("POST /v1/images/generations", {"content-type": "application/json"})
    for at in range(20):
        for one in connections:
            try:
                one.setblocking(False)
                one.send(text[at:at + 1])
            except OSError:
                pass
        if not any(wire.is_open(one) for one in connections):
            break
        time.sleep(1)
    return hold(connections, 5)


def half_json(server, scale):
    """JSON bodies that stop before their end"""
    size = int(95 * MIB * min(1, scale * 4))
    return half_bodies(server, 24, "POST /api/unclip.v1.UnclipService/EncodeImage",
                       {"content-type": "application/json", "content-length": size + 1000},
                       b'{"images": ["' + b"A" * size, 30)


def dripping(server, scale):
    """Forms that drip"""
    # Together they fill the memory for uploads to the last few kilobytes.
    size = (int(512 * MIB * min(1, scale * 4)) // 13) - 4000
    part = b'--edge\r\ncontent-disposition: form-data; name="%s"; filename="a.png"\r\n\r\n'
    body = part % b"image" + b"0" * (size // 2 - 1000) + b"\r\n" + part % b"mask" + b"0" * (size // 2 - 1000)
    headers = {"content-type": "multipart/form-data; boundary=edge", "content-length": size + 100_000}
    return half_bodies(server, 13, "POST /v1/images/edits", headers, body, 45, drip=True)


def half_bodies(server, count, request, headers, body, seconds, drip=False):
    sent = [0] * count

    def attack(at):
        connection = wire.connect(server.address)
        data = wire.head(request, headers) + body
        sent[at], stands = wire.send_within(connection, data, 20)
        until = time.monotonic() + seconds
        while stands and time.monotonic() < until:
            time.sleep(1)
            if drip:
                try:
                    connection.send(b"0")
                except OSError:
                    pass
            stands = wire.is_open(connection)
        connection.close()
        return stands

    ended = sum(stands is False for stands in together(attack, count))
    return f"{sum(sent) // MIB} MiB taken, {ended} of {count} ended by the server"


def half_grpc(server, scale):
    """gRPC messages that stop before their end"""
    size, count = int(71 * MIB * min(1, scale * 4)), 12
    sent = [0] * count

    def attack(at):
        connection = wire.Http2(server.address)
        stream = connection.call("/unclip.v1.UnclipService/EncodeImage")
        data = b"\x00" + struct.pack(">I", size + 1000) + b"\x0a" + b"\xff\xff\xff\x1f" + b"A" * size
        sent[at], stands = connection.send(stream, data, 20)
        until = time.monotonic() + 30
        while stands and time.monotonic() < until and stream in connection.streams:
            stands = connection.read(1)
        ended = not stands or stream not in connection.streams
        connection.close()
        return ended

    ended = sum(bool(one) for one in together(attack, count))
    return f"{sum(sent) // MIB} MiB taken, {ended} of {count} ended by the server"


def one_colour(side):
    """A few kilobytes that are 48 MiB of pixels at 4096."""
    return wire.png(side, lambda _: b"\x7f\x20\x20" * side)


def bombs(server, scale):
    """Pictures of few bytes and many pixels"""
    count = max(4, int(24 * scale))
    picture = base64.b64encode(one_colour(4096)).decode()
    body = json.dumps({"images": [picture] * max(1, int(2 * scale))}).encode()
    headers = {"content-type": "application/json"}
    path = "POST /api/unclip.v1.UnclipService/EncodeImage"
    answers = together(lambda _: wire.status(server.address, path, headers, body, 300)[0], count)
    return tally(answers)


def labels(server, scale):
    """Calls of methods that don't exist"""
    count, before = int(3000 * scale), metrics_bytes(server)
    for _ in range(0, count, 50):
        connection = wire.Http2(server.address)
        for _ in range(50):
            name = "".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=40))
            stream = connection.call(f"/unclip.v1.{name}/{name}")
            connection.send(stream, b"\x00\x00\x00\x00\x00", end=True)
        until = time.monotonic() + 10
        while connection.streams and time.monotonic() < until and connection.read(0.2):
            pass
        connection.close()
    return f"{count} calls: /metrics grew by {(metrics_bytes(server) - before) // 1024} KiB"


def metrics_bytes(server):
    connection = wire.connect(server.metrics)
    connection.sendall(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    size = 0
    while data := connection.recv(1 << 16):
        size += len(data)
    connection.close()
    return size


def foreign_pages(server, scale):
    """What pages of other sites can send unasked"""
    text, form = {"content-type": "text/plain"}, {"content-type": "multipart/form-data; boundary=edge"}
    site = {"origin": "http://evil.example", "sec-fetch-site": "cross-site"}
    frame = b"\x00\x00\x00\x00\x00"
    rpc = "/unclip.v1.UnclipService/ListModels"
    asked = {
        "a text as a gRPC call": ("POST " + rpc, text | site, frame),
        "the same without an origin": ("POST " + rpc, text, frame),
        "a form": ("POST /v1/images/variations", form | site, b"--edge--\r\n"),
        "JSON": ("POST /api/unclip.v1.UnclipService/ListModels", {"content-type": "application/json"} | site, b"{}"),
        "the page by another name": ("GET /", {"host": "evil.example"}, b""),
        "JSON by another name": ("POST /api/unclip.v1.UnclipService/ListModels",
                                 {"content-type": "application/json", "host": "evil.example"}, b"{}"),
    }
    let_in = [name for name, (request, headers, body) in asked.items() if not refused(server, request, headers, body)]
    return f"{len(asked) - len(let_in)} of {len(asked)} refused" + (f"; let in: {', '.join(let_in)}" if let_in else "")


def refused(server, request, headers, body):
    status, _ = wire.status(server.address, request, headers, body)
    return status in (403, 404, 415)


def takes_nothing(server, scale):
    """Clients that ask and read nothing"""
    body = json.dumps({"prompt": "a red heart", "n": 4, "stream": True, "partial_images": 3, "steps": 4,
                       "prior_steps": 1, "upsampler_steps": 1}).encode()
    request = wire.head("POST /v1/images/generations", {"content-type": "application/json", "content-length": len(body)})
    connections = [wire.connect(server.address) for _ in range(int(64 * scale))]
    for one in connections:
        one.sendall(request + body)
    time.sleep(10)
    for one in connections:
        one.close()
    return f"{len(connections)} asked"


def tally(statuses):
    counts = {}
    for status in statuses:
        counts[status or "none"] = counts.get(status or "none", 0) + 1
    return ", ".join(f"{count} x {status}" for status, count in sorted(counts.items(), key=str))
