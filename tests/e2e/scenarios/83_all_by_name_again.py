"""Machines of several people reach each other by address and by name, and again whenever all went down and up."""
import concurrent.futures

from world import Failure, wait_for

ROUNDS = 5


def in_parallel(work, items):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(work, items))


def run(world):
    world.server()
    machines = (("a1", "alice"), ("a2", "alice"), ("b1", "bob"), ("b2", "bob"), ("c1", "carol"))
    clients = [world.client(name, user=user) for name, user in machines]
    addresses = {c.name: (c.ip4(), c.ip6()) for c in clients}

    def reaches_all(client):
        for name, (ip4, ip6) in addresses.items():
            if name != client.name:
                client.wait_ping(ip4)
                client.wait_ping(ip6)

    def knows_all(client):
        """By its long name from its own resolver, and pinged by both; clients give out IPv4 only."""
        for name, (ip4, _) in addresses.items():
            if name == client.name:
                continue
            full = client.wait_peer(name)["DNSName"]
            wait_for(f"{client.name} resolves {full}", lambda: client.resolve(full) == [ip4])
            for word in (full, name):
                wait_for(f"{client.name} pings {word}", lambda: f"({ip4})" in client.inside(
                    "ping", "-4", "-n", "-c", "1", "-W", "2", word, check=False).stdout)

    in_parallel(reaches_all, clients)  # headscale.md 11 #1
    in_parallel(knows_all, clients)  # headscale.md 11 #2
    for _ in range(ROUNDS):  # headscale.md 11 #4
        in_parallel(lambda c: c.ts("down"), clients)
        in_parallel(lambda c: c.ts("up"), clients)
        in_parallel(lambda c: c.wait_running(), clients)
        in_parallel(reaches_all, clients)
    in_parallel(knows_all, clients)
    if {c.name: (c.ip4(), c.ip6()) for c in clients} != addresses:
        raise Failure("addresses changed")
