"""Files go from each machine of a person to each other with `tailscale file cp` and arrive whole."""
import concurrent.futures
import hashlib
import os

from world import Failure, wait_for


def digest(data):
    return hashlib.sha256(data).hexdigest()


def send(world, sender, receiver):
    """A file of its own, by a name that says who sent it to whom."""
    data = os.urandom(1 << 20)
    source = world.dir / f"{sender.name}-to-{receiver.name}.bin"
    source.write_bytes(data)
    sender.wait_path(receiver.ip4(), "direct")
    wait_for(f"{receiver.name} accepts a file of {sender.name}", lambda: sender.ts(
        "file", "cp", source, f"{receiver.name}:", check=False, timeout=60).returncode == 0, 60, every=1)
    return source.name, digest(data)


def run(world):
    world.server()
    clients = [world.client(f"m{i}") for i in range(3)]
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        # headscale.md 11 #9: all pairs, both ways; each receives from one at a time.
        for step in (1, 2):
            sent = list(pool.map(lambda i: send(world, clients[i], clients[(i + step) % len(clients)]), range(3)))
            for i, (name, want) in enumerate(sent):
                receiver = clients[(i + step) % len(clients)]
                target = world.dir / f"inbox-{receiver.name}-{step}"
                target.mkdir()
                receiver.ts("file", "get", target, timeout=60)
                got = {path.name: digest(path.read_bytes()) for path in target.iterdir()}
                if got != {name: want}:
                    raise Failure(f"{receiver.name} got {got}, not {name} {want}")
