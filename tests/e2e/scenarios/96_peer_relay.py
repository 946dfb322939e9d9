"""A machine that relays for others, to whom a grant allows it: the capability is seen on both ends, and packets go that way."""
import json

from world import POLICY_IN_DATABASE, Failure, wait_for

RELAY, TARGET = "tailscale.com/cap/relay", "tailscale.com/cap/relay-target"
ALL = {"src": ["*"], "dst": ["*"], "ip": ["*"]}
GRANT = {"src": ["alice@"], "dst": ["tag:relay"], "app": {RELAY: []}}


def policy(*grants):
    return {"tagOwners": {"tag:relay": ["alice@"]}, "grants": [ALL, *grants]}


def caps(client, other):
    """What the client knows the other may do with it."""
    return set(json.loads(client.ts("whois", "--json", other.ip4()).stdout).get("CapMap") or {})


def path(a, b):
    return a.ts("ping", "--c=1", "--timeout=5s", "--until-direct=false", b.ip4(), check=False).stdout


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy(GRANT))
    relay = world.client("relay", "1.102", up=False)
    a, b = (world.client(name, version, up=False) for name, version in (("a", "1.102"), ("b", "1.90")))
    # a and b reach the server and the relaying machine, not each other.
    for client in (a, b):
        allowed = f"{{ {server.host.ip}, {relay.host.ip} }}"
        client.host.run("nft", "-f", "-", input=f"""
            table inet apart {{
                chain out {{ type filter hook output priority -10; oifname "eth*" ip daddr != {allowed} drop; }}
                chain in {{ type filter hook input priority -10; iifname "eth*" ip saddr != {allowed} drop; }}
            }}""")
    relay.up(server.tags_key("tag:relay"))
    relay.ts("set", "--relay-server-port=40000")
    for client in (a, b):
        client.up(server.auth_key())
    # headscale.md 11 #79
    for client in (a, b):
        client.wait_peer("relay")
        wait_for(f"{client.name} may be a target of the relay", lambda: TARGET in caps(client, relay))
        wait_for(f"the relay serves {client.name}", lambda: RELAY in caps(relay, client))
        if RELAY in caps(client, relay) or TARGET in caps(relay, client):
            raise Failure("a capability is on the wrong end")
    a.wait_ping(b.ip4())
    wait_for("packets go through the relaying machine", lambda: "via peer-relay(" in path(a, b), 60, every=1)
    wait_for("and so does TCP", lambda: (b.peer("a").get("PeerRelay") or a.peer("b").get("PeerRelay") or "")
             .startswith(f"{relay.host.ip}:40000"))
    # With the grant goes the capability, on both ends.
    server.policy(policy())
    for client in (a, b):
        wait_for(f"{client.name} is no target any more", lambda: TARGET not in caps(client, relay))
        wait_for(f"the relay knows that {client.name} is not", lambda: RELAY not in caps(relay, client))
    a.wait_ping(b.ip4())
