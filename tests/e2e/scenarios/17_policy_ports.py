"""Who may reach which port by TCP, UDP and ICMP, in both families, on old and new clients."""
from world import POLICY_IN_DATABASE, never, nevers

POLICY = {
    "groups": {"group:ops": ["bob@"]},
    "tagOwners": {"tag:server": ["alice@"]},
    "acls": [
        {"action": "accept", "proto": "tcp", "src": ["alice@"], "dst": ["tag:server:7001,7010-7012"]},
        {"action": "accept", "proto": "udp", "src": ["alice@"], "dst": ["tag:server:7002"]},
        {"action": "accept", "proto": "icmp", "src": ["group:ops"], "dst": ["tag:server:*"]},
    ],
}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"))
               for name, version in (("old", "1.82"), ("new", "1.102"))]
    for s in servers:
        s.echo("tcp:7001", "tcp:7002", "tcp:7003", "tcp:7011", "udp:7001", "udp:7002")
    alice = world.client("alice", "1.90")
    bob = world.client("bob", "1.102", user="bob")
    carol = world.client("carol", "1.82", user="carol")
    for s in servers:
        alice.wait_peer(s.name)
        bob.wait_peer(s.name)
        for ip in (s.ip4(), s.ip6()):
            alice.wait_ask("tcp", ip, 7001)
            alice.wait_ask("tcp", ip, 7011)
            alice.wait_ask("udp", ip, 7002)
            nevers((f"a TCP port beside the rule at {ip}", lambda: alice.ask("tcp", ip, 7003)),
                   (f"the UDP rule's port by TCP at {ip}", lambda: alice.ask("tcp", ip, 7002)),
                   (f"the TCP rule's port by UDP at {ip}", lambda: alice.ask("udp", ip, 7001)),
                   (f"a port, with ICMP allowed only, at {ip}", lambda: bob.ask("tcp", ip, 7001)),
                   # Clients let ICMP in where any rule names the source, so refusal shows the other way round.
                   ("a server pings alice", lambda: s.ping(alice.ip4(), timeout=2)))
        bob.wait_ping(s.ip4())
        never("a server sees another", lambda: set(s.peers()) != {"alice", "bob"})
    never("alice and bob see each other", lambda: "bob" in alice.peers() or "alice" in bob.peers())
    never("carol sees somebody", carol.peers)
