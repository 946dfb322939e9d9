"""The server's own relay, and nothing else, between clients: they have it at once, and none complains of it."""
import time

from world import Failure

WORDS = ("relay", "derp", "home region")


def well(clients, when):
    """headscale.md 11 #103"""
    for client in clients:
        status = client.status()
        told = [line for line in status.get("Health") or [] if any(word in line.lower() for word in WORDS)]
        if told or not status["Self"]["Relay"]:
            raise Failure(f"{client.name} {when}: relay {status['Self']['Relay']!r}, {told}")


def run(world):
    world.server()
    clients = [world.client(name, version, up=False) for name, version in (("old", "1.82"), ("mid", "1.90"), ("new", "1.102"))]
    for client in clients:
        client.host.block_direct()
        client.up(world.the_server.auth_key())
        client.serve_tcp()
    start = time.monotonic()
    well(clients, "at the start")
    pairs = [(a, b) for a in clients for b in clients if a is not b]
    for a, b in pairs:
        a.wait_ping(b.ip4())
        a.check_tcp(b.ip4())
        if a.path_to(b.ip4()) != "relay":
            raise Failure(f"{a.name} to {b.name} is not through the relay")
    well(clients, "after pings")
    time.sleep(max(0, start + 30 - time.monotonic()))
    well(clients, "30 seconds later")
    for a, b in pairs:
        if not a.ping(b.ip4(), count=2):
            raise Failure(f"{a.name} lost {b.name}")
