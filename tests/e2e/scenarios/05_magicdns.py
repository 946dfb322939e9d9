"""MagicDNS answers for every peer, by full and by short name."""
from world import wait_for


def run(world):
    world.server()
    alice, bob = world.client("alice"), world.client("bob")
    name = alice.wait_peer("bob")["DNSName"]
    bob.wait_peer("alice")
    wait_for("alice resolves bob's full name", lambda: alice.resolve(name) == [bob.ip4()])
    wait_for("bob resolves alice", lambda: bob.resolve(name.replace("bob", "alice", 1)) == [alice.ip4()])
    wait_for("the system's resolver knows the short name",
             lambda: bob.ip4() in alice.inside("getent", "ahostsv4", "bob", check=False).stdout)
