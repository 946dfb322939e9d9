"""A group too large to list: filters name it by a capability, and members come and go all the same."""
from world import POLICY_IN_DATABASE, Failure, Host, never, nevers, wait_for

CROWD = 12


def policy(*members):
    return {
        "groups": {"group:dev": [f"{m}@" for m in members]},
        "tagOwners": {"tag:server": ["alice@"]},
        "grants": [{"src": ["group:dev"], "dst": ["tag:server"], "ip": ["tcp:7001"]}],
    }


def sources(client):
    return [src for rule in client.netmap().get("PacketFilterRules") or [] for src in rule.get("SrcIPs") or []]


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy("sim", "alice"))
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"))
               for name, version in (("old", "1.82"), ("new", "1.102"))]
    for s in servers:
        s.echo("tcp:7001", "tcp:7002")
    crowd = Host(world, "crowd")
    bench = crowd.spawn(world.hatsize.parent / "hatsize-bench", "control", "--server", server.url, "--auth-key",
                        server.auth_key("sim", "--reusable"), "--nodes", CROWD, "--beside", 2, "--phases", "idle",
                        "--idle", 120, "--limit", 180, log=world.dir / "bench.log")
    for s in servers:
        wait_for(f"{s.name} sees the crowd", lambda: len(s.peers()) == CROWD, 60)
        wait_for(f"{s.name} knows it by a capability", lambda: any(x.startswith("cap:") for x in sources(s)), 5)
        if len(sources(s)) > CROWD:
            raise Failure(f"{s.name} got a list as well: {sources(s)}")
    before = [sources(s) for s in servers]

    # A member more: its card says so, and no filter changes.
    alice = world.client("alice", "1.90")
    bob = world.client("bob", "1.102", user="bob")
    for s, was in zip(servers, before):
        alice.wait_peer(s.name)
        alice.wait_ask("tcp", s.ip4(), 7001)
        alice.wait_ask("tcp", s.ip6(), 7001)
        if sources(s) != was:
            raise Failure(f"{s.name}'s filter changed: {was} to {sources(s)}")
        nevers((f"another port of {s.name}", lambda: alice.ask("tcp", s.ip4(), 7002)),
               (f"bob reaches {s.name}", lambda: bob.ask("tcp", s.ip4(), 7001)))
    never("bob sees somebody", bob.peers)
    # Members change by policy.
    server.policy(policy("sim", "bob"))
    for s in servers:
        wait_for(f"bob sees {s.name}", lambda: s.name in bob.peers(), 5)
        bob.wait_ask("tcp", s.ip4(), 7001, 10)
        never(f"alice, who left, reaches {s.name}", lambda: alice.ask("tcp", s.ip4(), 7001))
    never("alice, who left, sees somebody", alice.peers)
    crowd.end(bench)
