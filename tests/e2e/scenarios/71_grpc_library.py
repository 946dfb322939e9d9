"""Google's gRPC library as a client: by reflection on the Unix socket, with our own definition over the network in the
clear (allowed by the configuration), compressed, too long, many at once.

It is a Python package, pinned with what it needs in grpc.txt, in a virtual environment of its own; without it the scenario
is skipped. Shows headscale.md 11 #107 by another client than headscale's.
"""
import pathlib

from world import POLICY_IN_DATABASE, Failure, Host, from_packages

HERE = pathlib.Path(__file__).resolve().parent.parent


def run(world):
    program = from_packages("grpc", "grpc.txt", "python")
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
