"""Ping and TCP with every direct path blocked: only the built-in relay, pinned by its hash."""
from world import Failure


def run(world):
    world.server()
    clients = [world.client(f"m{i}", up=False) for i in range(3)]
    for client in clients:
        client.host.block_direct()
        client.up(world.the_server.auth_key())
    for client in clients:
        client.serve_tcp()
    for a in clients:
        for b in clients:
            if a is b:
                continue
            a.wait_ping(b.ip4())
            a.check_tcp(b.ip4())
            if a.path_to(b.ip4()) != "relay":
                raise Failure(f"{a.name} to {b.name} is not through the relay")
    # The way opens again: they find it by themselves.
    for client in clients:
        client.host.unblock_direct()
    clients[0].wait_path(clients[1].ip4(), "direct", timeout=60)
