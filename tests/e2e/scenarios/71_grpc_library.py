"""Google's gRPC library as a client: by reflection on the Unix socket, with our own definition over the network in the
clear (allowed by the configuration), compressed, too long, many at once.

It is a Python package, pinned with what it needs in grpc.txt, in a virtual environment of its own; without it the scenario
is skipped. Shows headscale.md 11 #107 by another client than headscale's.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys

from world import POLICY_IN_DATABASE, Failure, Host, Skipped

HERE = pathlib.Path(__file__).resolve().parent.parent


def python():
    """One that has the library; installed when it is not there yet."""
    wanted = HERE / "grpc.txt"
    cache = os.environ.get("HATSIZE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hatsize")
    room = pathlib.Path(cache) / "grpc" / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    if not (room / "ready").exists():
        shutil.rmtree(room, ignore_errors=True)
        for argv in ([sys.executable, "-m", "venv", str(room)],
                     [str(room / "bin/pip"), "install", "-q", "--only-binary", ":all:", "-r", str(wanted)]):
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
            except (OSError, subprocess.TimeoutExpired) as err:
                raise Skipped(f"the gRPC library cannot be had: {err}") from None
            if done.returncode != 0:
                raise Skipped(f"the gRPC library cannot be had: {done.stderr.strip()[-200:]}")
        (room / "ready").touch()
    return room / "bin" / "python"


def run(world):
    program = python()
    server = world.server(start=False)
    socket = server.dir / "hs.sock"
    server.configure(POLICY_IN_DATABASE + f"unix_socket: {socket}\ngrpc_allow_insecure: true\n")
    server.start()
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    done = laptop.run("env", "-u", "http_proxy", "-u", "https_proxy", program, HERE / "grpc_client.py", HERE.parent.parent / "src/grpc",
                      socket, f"{server.host.ip}:50443", key, timeout=120)
    if done.stdout.strip() != "all of it":
        raise Failure(f"{done.stdout}{done.stderr}")
    if "go over the network in the clear" not in server.cli("configtest").stderr + server.cli("configtest").stdout:
        raise Failure("configtest does not tell of keys in the clear")
