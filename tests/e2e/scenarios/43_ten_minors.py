"""Clients of many releases in one network: those that scripts/clients builds, and each further one of the ten newest
minors that is there (`scripts/clients minors`). What is too old is refused: hostile input."""
import concurrent.futures
import pathlib
import re

from world import Failure, wait_for


def releases(world):
    """The newest of each minor release, oldest first."""
    found = {path.name: path for path in world.clients_dirs}
    for path in pathlib.Path(world.clients_dirs[-1]).parent.glob("1.*"):
        if (path / "tailscaled").exists() and (path / "tailscale").exists():
            found.setdefault(path.name, path)
    numbers = lambda name: [int(part) for part in name.split(".")]
    newest = {tuple(numbers(name)[:2]): path for name, path in sorted(found.items(), key=lambda item: numbers(item[0]))}
    return [newest[minor] for minor in sorted(newest)]


def say(paths):
    """Which these are, and which of the ten newest minors are not there."""
    text = (pathlib.Path(__file__).parents[3] / "scripts" / "clients").read_text()
    wanted = re.search(r"^minors=\((.*)\)", text, re.M).group(1).split()
    names = [path.name for path in paths]
    print("     " + " ".join(names))
    absent = [name for name in wanted if name not in names]
    if absent:
        print("     not there (scripts/clients minors): " + " ".join(absent))


def run(world):
    server = world.server()
    world.clients_dirs = releases(world)
    clients = [world.client(f"v{path.name.replace('.', '-')}", path.name, up=False) for path in world.clients_dirs]
    for c in clients:
        c.up(server.auth_key())
        c.serve_tcp()
    say(world.clients_dirs)
    # headscale.md 11 #121
    names = {c.name for c in clients}
    for c in clients:
        wait_for(f"{c.name} sees all others", lambda: set(c.peers()) == names - {c.name}, 60)
    versions = {c.name: c.status()["Version"].split("-")[0] for c in clients}
    if len(set(versions.values())) != len(clients):
        raise Failure(f"these are not different releases: {versions}")

    def visit(c):
        for other in clients:
            if other is not c:
                c.wait_ping(other.ip4())
                c.check_tcp(other.ip4())
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(visit, clients))
