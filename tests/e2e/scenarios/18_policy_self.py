"""autogroup:self: a person's own machines, nobody else's and no tagged ones."""
from world import POLICY_IN_DATABASE, never, wait_for

POLICY = {
    "tagOwners": {"tag:t": ["alice@"]},
    "grants": [{"src": ["autogroup:member"], "dst": ["autogroup:self"], "ip": ["*"]}],
}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    one = world.client("one", "1.82")
    two = world.client("two", "1.102")
    bob = world.client("bob", "1.90", user="bob")
    tagged = world.client("tagged", "1.102", up=False).up(server.tags_key("tag:t"))
    for c in (one, two):
        c.echo("tcp:7001")
    one.wait_peer("two")
    for a, b in ((one, two), (two, one)):
        a.wait_ask("tcp", b.ip4(), 7001)
        a.wait_ask("tcp", b.ip6(), 7001)
    never("bob sees somebody", bob.peers)  # headscale.md 11 #69
    never("the tagged machine sees somebody", tagged.peers)
    never("bob reaches alice's", lambda: bob.ask("tcp", one.ip4(), 7001))

    # A further machine of hers is among them at once, old and new clients alike.
    three = world.client("three", "1.90")
    for c in (one, two):
        c.wait_peer("three")
        three.wait_ask("tcp", c.ip4(), 7001, 10)
    # One that is tagged is hers no more.
    server.cli("nodes", "tag", "--identifier", server.node("two")["id"], "--tags", "tag:t")
    for c in (one, three):
        wait_for(f"{c.name} sees no tagged machine", lambda: "two" not in c.peers(), 5)
    wait_for("it sees nobody", lambda: not two.peers(), 5)
    never("it is still reached", lambda: one.ask("tcp", two.ip4(), 7001))
