"""A policy change takes hold of what is under way, both ways; it prints how soon."""
import time

from world import POLICY_IN_DATABASE, wait_for

LIMIT = 30  # seconds

# A line with the clock for each answer: new UDP flows, and one long TCP connection.
UDP = """import socket,sys,time
while True:
    s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.settimeout(0.2)
    try:
        s.sendto(b"x",(sys.argv[1],7001)); s.recv(10); print(time.monotonic(),flush=True)
    except OSError: pass
    s.close(); time.sleep(0.02)
"""
TCP = """import socket,sys,time
s=socket.create_connection((sys.argv[1],7001))
while True:
    s.send(b"x"); s.recv(10); print(time.monotonic(),flush=True); time.sleep(0.02)
"""


def policy(*grants):
    return {"tagOwners": {"tag:server": ["alice@"]}, "grants": [
        {"src": ["alice@"], "dst": ["tag:server"], "ip": [g]} for g in grants]}


def last(path):
    lines = path.read_text().split()
    return float(lines[-1]) if lines else 0.0


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy("*"))
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"))
               for name, version in (("old", "1.82"), ("new", "1.102"))]
    alice = world.client("alice", "1.102")
    logs = {}

    def start(kind, s):
        path = logs[(kind, s.name)] = alice.dir / f"{kind}-{s.name}"
        path.write_text("")
        alice.host.spawn("python3", "-u", "-c", {"udp": UDP, "tcp": TCP}[kind], s.ip4(), log=path)

    def set_policy(what, *grants):
        server.policy(policy(*grants))
        return what, time.monotonic()

    # How long it took is printed, not judged: a client may just be calling back after a change of its
    # own interfaces, and the machine may be busy.
    def must_stop(since, *kinds):
        what, at = since
        for (kind, name), path in logs.items():
            if kind not in kinds:
                continue
            wait_for(f"{what}: {kind} to {name} stops", lambda: time.monotonic() > last(path) + 1.5, LIMIT)
            print(f"     {what}: {kind} to {name} stopped after {max(last(path) - at, 0):.2f} s")

    def must_go(since, *kinds):
        what, at = since
        for (kind, name), path in logs.items():
            if kind not in kinds:
                continue
            wait_for(f"{what}: {kind} to {name} goes", lambda: last(path) > at, LIMIT)
            first = next(t for t in map(float, path.read_text().split()) if t > at)
            print(f"     {what}: {kind} to {name} went after {first - at:.2f} s")

    for s in servers:
        s.echo("tcp:7001", "udp:7001")
        alice.wait_peer(s.name)
        alice.wait_ask("tcp", s.ip4(), 7001)
        start("udp", s)
        start("tcp", s)
    wait_for("all flow", lambda: all(last(p) for p in logs.values()))
    must_go(("at first", time.monotonic()), "udp", "tcp")
    # Another port: clients let what a connection has begun go on, so only new flows are refused.
    must_stop(set_policy("the port is gone", "tcp:7002"), "udp")
    must_go(set_policy("the port is back", "udp:7001"), "udp")
    # Out of sight: nothing at all passes.
    must_stop(set_policy("nothing is allowed"), "udp", "tcp")
    must_go(set_policy("all is allowed again", "*"), "udp")
