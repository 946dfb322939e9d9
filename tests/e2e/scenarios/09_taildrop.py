"""A file goes from machine to machine with `tailscale file cp` and arrives whole."""
import hashlib
import os

from world import Failure, wait_for


def run(world):
    world.server()
    clients = [world.client(f"m{i}") for i in range(3)]
    data = os.urandom(3 << 20)
    source = world.dir / "parcel.bin"
    source.write_bytes(data)
    for sender, receiver in zip(clients, clients[1:] + clients[:1]):
        sender.wait_path(receiver.ip4(), "direct")
        wait_for("the file is accepted", lambda: sender.ts(
            "file", "cp", source, f"{receiver.name}:", check=False, timeout=60).returncode == 0, 60, every=1)
        target = world.dir / f"inbox-{receiver.name}"
        target.mkdir()
        receiver.ts("file", "get", target, timeout=60)
        got = (target / "parcel.bin").read_bytes()
        if hashlib.sha256(got).digest() != hashlib.sha256(data).digest():
            raise Failure("the file changed on the way")
