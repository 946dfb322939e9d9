"""New members of a group, by a new machine and by a new policy, are let in by machines that are there already."""
from world import POLICY_IN_DATABASE, never, wait_for


def policy(*members):
    return {
        "groups": {"group:dev": [f"{m}@" for m in members]},
        "tagOwners": {"tag:server": ["alice@"]},
        "acls": [{"action": "accept", "src": ["group:dev"], "dst": ["tag:server:7001"]}],
    }


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy("alice"))
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"))
               for name, version in (("old", "1.82"), ("middle", "1.90"), ("new", "1.102"))]
    for s in servers:
        s.echo("tcp:7001", "tcp:7002")
    one = world.client("one", "1.82")
    bob = world.client("bob", "1.102", user="bob")
    for s in servers:
        one.wait_peer(s.name)
        one.wait_ask("tcp", s.ip4(), 7001)
        never("another port", lambda: one.ask("tcp", s.ip4(), 7002, 1))
    never("bob sees somebody", bob.peers)

    # A member's new machine.
    two = world.client("two", "1.102")
    for s in servers:
        two.wait_peer(s.name)
        two.wait_ask("tcp", s.ip4(), 7001, 10)
        two.wait_ask("tcp", s.ip6(), 7001, 10)
        never("another port of the new machine", lambda: two.ask("tcp", s.ip4(), 7002, 1))
    # A new member, and one who left.
    server.policy(policy("bob"))
    for s in servers:
        wait_for(f"bob sees {s.name}", lambda: s.name in bob.peers(), 5)
        bob.wait_ask("tcp", s.ip4(), 7001, 10)
    for c in (one, two):
        wait_for(f"{c.name} sees nobody", lambda: not c.peers(), 5)
        never("who left is still let in", lambda: c.ask("tcp", servers[2].ip4(), 7001, 1))
    # The servers themselves never saw each other.
    for s in servers:
        never(f"{s.name} sees more than bob", lambda: set(s.peers()) != {"bob"})
