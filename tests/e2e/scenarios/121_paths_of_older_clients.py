"""Releases 1.86 to 1.94 reach whoever comes later directly, with nothing but pings to find the way by."""
from world import Skipped


def run(world):
    built = [path.name for path in world.clients_dirs]
    if not any(name.startswith("1.90") for name in built):
        raise Skipped("only other releases were built")
    world.server()
    old = world.client("old", version="1.90")
    for i in range(5):
        newcomer = world.client(f"n{i}", version=built[-1])
        old.wait_path(newcomer.ip4(), "direct", timeout=60)
