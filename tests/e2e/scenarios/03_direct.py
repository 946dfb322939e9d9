"""Ping and TCP on a direct path, both families, all releases in one tailnet."""


def run(world):
    world.server()
    clients = [world.client(f"m{i}") for i in range(3)]
    for client in clients:
        client.serve_tcp()
    for a in clients:
        for b in clients:
            if a is b:
                continue
            a.wait_ping(b.ip4())
            a.wait_ping(b.ip6())
            a.wait_path(b.ip4(), "direct")
            a.check_tcp(b.ip4())
