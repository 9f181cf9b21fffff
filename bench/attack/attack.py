#!/usr/bin/env python3
"""Attacks `unclip serve` as a hostile network would, and says what it cost and whether a normal client was served.

usage: attack.py --program target/debug/unclip --bundle BUNDLE [--scale 1] [--only NAME...] [--json FILE] [-- FLAGS...]

Every attack gets a server of its own, on a port of 127.0.0.1 that the operating system chooses, and is bounded in count and
time. FLAGS go to the server. Only Python's standard library is needed.
"""

import argparse
import inspect
import json
import resource
import socket
import time

import attacks
import wire
from server import Client, Server

ATTACKS = [
    attacks.silent, attacks.slow_heads, attacks.half_json, attacks.half_grpc, attacks.dripping, attacks.bombs,
    attacks.takes_nothing, attacks.labels, attacks.foreign_pages,
]

# So few that a hundred connections take them all.
FEW_DESCRIPTORS = 96


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(arguments, descriptors=None):
    port = free_port()
    flags = ["--metrics-listen", f"127.0.0.1:{port}", "--threads", "1", "--device", "cpu", "--dtype", "f32", *arguments.flags]
    server = Server(arguments.program, arguments.bundle, flags, descriptors)
    server.metrics = ("127.0.0.1", port)
    return server


def measured(name, server, work):
    """Runs an attack beside a normal client."""
    with Client(server.address) as client:
        while client.served < 1 and not client.failures:
            time.sleep(0.05)
        before, server.peak = server.rss(), 0
        outcome = work()
        peak = max(server.peak, server.rss())
    row = {"attack": name, "rss_before_mib": round(before), "rss_peak_mib": round(peak), "asked": client.asked,
           "served": client.served, "longest_s": round(client.longest, 1), "failures": sorted(set(client.failures))[:3],
           "outcome": outcome, "alive": server.process.poll() is None}
    return row


def attack(arguments, function):
    server = start(arguments)
    try:
        return measured(inspect.getdoc(function), server, lambda: function(server, arguments.scale))
    finally:
        server.kill()


def few_descriptors(arguments):
    """More connections than descriptors"""
    server = start(arguments, FEW_DESCRIPTORS)
    try:
        log = server.log_bytes()
        scrapers = []

        def work():
            started = time.monotonic()
            scrapers.extend(filter(None, (wire.connect(server.metrics, 1) for _ in range(100))))
            connections = list(filter(None, (wire.connect(server.address, 1) for _ in range(100))))
            outcome = attacks.hold(connections, 8)
            rate = (server.log_bytes() - log) / (time.monotonic() - started)
            return f"{outcome}; {rate / 1024:.1f} KiB of log a second"

        row = measured(inspect.getdoc(few_descriptors), server, work)
        for one in scrapers:
            one.close()
        return row
    finally:
        server.kill()


def drain(arguments):
    """SIGTERM with silent connections, half a head and half a body"""
    server = start(arguments)
    half = wire.head("POST /v1/images/generations", {"content-type": "application/json", "content-length": 100})
    connections = [wire.connect(server.address) for _ in range(12)]
    for at, one in enumerate(connections):
        one.sendall([b"", half[:20], half + b"{"][at % 3])
    time.sleep(0.5)
    seconds = server.stop()
    return {"attack": inspect.getdoc(drain), "outcome": f"ended after {seconds:.1f} s", "seconds": round(seconds, 1),
            "alive": True}


def table(rows):
    print("| attack | memory before and at its peak, MiB | normal client: served of asked, longest wait | what became of it |")
    print("|---|---|---|---|")
    for row in rows:
        memory = f"{row['rss_before_mib']}, {row['rss_peak_mib']}" if "asked" in row else ""
        client = f"{row['served']} of {row['asked']}, {row['longest_s']} s" if "asked" in row else ""
        ending = "" if row["alive"] else "; the server died"
        print(f"| {row['attack']} | {memory} | {client} | {row['outcome']}{ending} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--program", default="target/debug/unclip")
    parser.add_argument("--bundle", required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the full attacks, above 0 and up to 1")
    parser.add_argument("--only", nargs="*", default=[], help="names of attacks")
    parser.add_argument("--json", help="a file for the figures")
    parser.add_argument("flags", nargs="*", help="flags of the server, after --")
    arguments = parser.parse_args()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4096), most))
    rows = []
    for function in [*ATTACKS, few_descriptors, drain]:
        if arguments.only and function.__name__ not in arguments.only:
            continue
        own = function in (few_descriptors, drain)
        rows.append(function(arguments) if own else attack(arguments, function))
        print(json.dumps(rows[-1]), flush=True)
    table(rows)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
