#!/usr/bin/env python3
"""The netmap engine at size: hundreds of simulated nodes against one server, and what each of them holds is checked.

    tests/engine.py --bin DIR [--nodes N] [--soak SECONDS]

DIR has hatsize and hatsize-bench. The nodes join at once, change, leave and come back, drop out all together; the
checks are hatsize-bench's own (everybody holds what is true of everybody; deltas equal fresh maps). Then the figures
on /metrics and /debug/netmap must agree with what happened. Prints a line for each part; timings decide nothing.
"""
import argparse
import os
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BAD = ("ERROR: AddressSanitizer", "WARNING: ThreadSanitizer", "runtime error:", "ERROR: LeakSanitizer", "assertion")


class Failure(Exception):
    pass


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    def __init__(self, o, folder):
        self.o, self.dir = o, folder
        self.port, self.metrics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        (folder / "config.yaml").write_text(
            f"listen_addr: 127.0.0.1:{self.port}\nserver_url: {self.url}\n"
            f"metrics_listen_addr: 127.0.0.1:{self.metrics_port}\n"
            f"derp:\n  server:\n    stun_listen_addr: 127.0.0.1:{free_port()}\nlog:\n  level: warn\n")
        env = dict(os.environ, ASAN_OPTIONS="detect_leaks=1", UBSAN_OPTIONS="print_stacktrace=1",
                   TSAN_OPTIONS=f"halt_on_error=0 suppressions={ROOT}/tests/tsan.supp")
        with open(folder / "log", "ab") as log:
            self.proc = subprocess.Popen([o.bin / "hatsize", "serve", *self.args()], stdout=log, stderr=log,
                                         env=env)
        end = time.monotonic() + 60
        while self.cli("health").returncode != 0:
            if time.monotonic() > end or self.proc.poll() is not None:
                raise Failure(f"the server does not start:\n{self.log()}")
            time.sleep(0.1)

    def args(self):
        return ["--config", self.dir / "config.yaml", "--data-dir", self.dir / "data"]

    def cli(self, *argv):
        return subprocess.run([self.o.bin / "hatsize", *argv, *self.args()], capture_output=True, text=True,
                              timeout=60)

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}{path}", timeout=60) as answer:
            return answer.read().decode()

    def metrics(self):
        lines = [line for line in self.get("/metrics").splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            self.proc.wait(120)
        if self.proc.returncode != 0:
            raise Failure(f"the server ended with {self.proc.returncode}:\n{self.log()[-4000:]}")
        for bad in BAD:
            if bad in self.log():
                raise Failure(f"the server's log:\n{self.log()[-8000:]}")


def bench(o, server, *argv):
    key = server.cli("preauthkeys", "create", "--user", "sim", "--reusable").stdout.strip()
    done = subprocess.run([o.bin / "hatsize-bench", "control", "--server", server.url, "--auth-key", key, *argv],
                          capture_output=True, text=True, timeout=600)
    if done.returncode != 0:
        raise Failure(f"hatsize-bench {' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def check_figures(server, nodes):
    """When all have gone, the figures say what was."""
    m = server.metrics()
    made = {kind: m.get(f'hatsize_netmap_messages_total{{kind="{kind}"}}', 0) for kind in ("full", "shared", "own")}
    sent = m["hatsize_map_messages_total"]
    if sum(made.values()) != sent:
        raise Failure(f"{made} messages made, {sent} sent")
    # Each node had a first map, and one more after dropping out.
    if made["full"] < 2 * nodes:
        raise Failure(f"{made['full']} full maps for {nodes} nodes that joined and dropped out")
    # The point of it all: a change is written for one and sent to all.
    if made["shared"] < nodes * 10 or m["hatsize_netmap_shared_made_total"] * 10 > made["shared"]:
        raise Failure(f"{m['hatsize_netmap_shared_made_total']} deltas written for {made['shared']} sent")
    rows = [line.split() for line in server.get("/debug/netmap").split("\n\n")[0].splitlines()]
    at = rows[0].index("NODES")
    if len(rows) < 2 or any(int(row[at]) != nodes for row in rows[1:]):
        raise Failure(f"/debug/netmap does not have {nodes} nodes on each loop: {rows}")
    full = sum(int(row[rows[0].index("FULL")]) for row in rows[1:])
    if full != made["full"]:
        raise Failure(f"/debug/netmap has {full} full maps, /metrics {made['full']}")
    if re.search(r"default|sim-\d|node-\d", server.get("/metrics")):
        raise Failure("/metrics names a tailnet or a node")


def check_listener(server):
    request = urllib.request.Request(f"http://127.0.0.1:{server.metrics_port}/debug/netmap",
                                     headers={"X-Forwarded-For": "192.0.2.1"})
    try:
        urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as err:
        if err.code == 403:
            return
    raise Failure("/debug/netmap answers what a proxy brings")


def crowd(o):
    with tempfile.TemporaryDirectory(prefix="hatsize-engine-") as folder:
        server = Server(o, pathlib.Path(folder))
        try:
            server.cli("users", "create", "sim")
            bench(o, server, "--nodes", str(o.nodes), "--beside", "0", "--phases", "fan-out,churn,storm,verify",
                  "--changes", "5", "--churn", "3", "--verify", str(min(o.nodes, 50)), "--limit", "400")
            check_figures(server, o.nodes)
            check_listener(server)
            server.stop()
        finally:
            if server.proc.poll() is None:
                server.proc.kill()
                server.proc.wait()


def soak(o):
    done = subprocess.run([ROOT / "bench/soak", "--seconds", str(o.soak), "--rounds", "1", "--restart", "--nodes",
                           str(o.soak_nodes), "--bin", o.bin], capture_output=True, text=True, timeout=900)
    if done.returncode != 0:
        raise Failure(f"bench/soak: exit {done.returncode}\n{done.stdout}{done.stderr}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--bin", type=pathlib.Path, required=True)
    p.add_argument("--nodes", type=int, default=500)
    p.add_argument("--soak", type=int, default=20, help="seconds of churn, 0: none")
    p.add_argument("--soak-nodes", type=int, default=60)
    o = p.parse_args()
    o.bin = o.bin.resolve()
    failed = 0
    for name, part in ((f"{o.nodes} nodes", crowd), (f"a soak of {o.soak} s", soak)):
        if part is soak and not o.soak:
            continue
        begun = time.monotonic()
        try:
            part(o)
            print(f"ok   engine: {name} ({time.monotonic() - begun:.0f} s)", flush=True)
        except (Failure, OSError, KeyError, ValueError, subprocess.SubprocessError) as err:
            print(f"FAIL engine: {name}: {err}", flush=True)
            failed = 1
    return failed


sys.exit(main())
