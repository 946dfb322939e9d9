"""App capabilities: what `tailscale whois` says about a peer, to those whom a grant names."""
import json

from world import POLICY_IN_DATABASE, Failure, wait_for

CAP = "example.com/cap/admin"
POLICY = {
    "tagOwners": {"tag:server": ["alice@"]},
    "grants": [
        {"src": ["autogroup:member"], "dst": ["tag:server"], "ip": ["tcp:7001"]},
        {"src": ["alice@"], "dst": ["tag:server"], "app": {CAP: [{"role": "rw", "paths": ["/a", "/b"]}, {"role": "audit"}]}},
        {"src": ["bob@"], "dst": ["tag:server"], "app": {CAP: [{"role": "ro"}]}},
    ],
}


def caps(server, client):
    return json.loads(server.ts("whois", "--json", client.ip4()).stdout).get("CapMap") or {}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"))
               for name, version in (("old", "1.82"), ("new", "1.102"))]
    alice = world.client("alice", "1.90")
    bob = world.client("bob", "1.102", user="bob")
    carol = world.client("carol", "1.102", user="carol")
    for s in servers:
        for c in (alice, bob, carol):
            s.wait_peer(c.name)
        wait_for(f"{s.name} knows what alice may",
                 lambda: caps(s, alice).get(CAP) == [{"role": "rw", "paths": ["/a", "/b"]}, {"role": "audit"}])
        wait_for(f"{s.name} knows what bob may", lambda: caps(s, bob).get(CAP) == [{"role": "ro"}])
        if CAP in caps(s, carol):
            raise Failure(f"carol has a capability: {caps(s, carol)}")
    # It goes with its grant, and the ports stay.
    del POLICY["grants"][1]
    server.policy(POLICY)
    for s in servers:
        wait_for(f"{s.name} forgot alice's", lambda: CAP not in caps(s, alice), 5)
        if caps(s, bob).get(CAP) != [{"role": "ro"}]:
            raise Failure("bob lost his too")
        s.echo("tcp:7001")
        alice.wait_ask("tcp", s.ip4(), 7001)
