"""An exit node approved by the policy, for those who may use the internet and nobody else; headscale.md 11 #97."""
from world import POLICY_IN_DATABASE, Host, never, wait_for

STREET = "192.0.2"
WEB = "203.0.113"  # stands for the internet: autogroup:internet has no private ranges

POLICY = {
    "groups": {"group:travel": ["alice@"]},
    "tagOwners": {"tag:exit": ["alice@"]},
    "autoApprovers": {"exitNode": ["tag:exit"]},
    "grants": [
        {"src": ["group:travel"], "dst": ["autogroup:internet"], "ip": ["*"]},
        {"src": ["autogroup:member"], "dst": ["tag:exit"], "ip": ["tcp:7001"]},
    ],
}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    # An exit node keeps what it is itself attached to out, so the site is a hop further on.
    street, web = world.network("street"), world.network("web")
    gate = Host(world, "gate", net=STREET, bridge=street)
    gate.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    site = Host(world, "site", net=WEB, bridge=web)
    site.run("ip", "route", "add", "default", "via", gate.add_leg(web, WEB))
    site.echo("tcp:7001")
    out = world.router("exit", (street, STREET), version="1.102")
    out.host.run("ip", "route", "add", f"{WEB}.0/24", "via", gate.ip)
    out.up(server.tags_key("tag:exit"), "--advertise-exit-node")
    out.echo("tcp:7001")
    wait_for("the policy approves the exit", lambda: "0.0.0.0/0" in server.node("exit")["approvedRoutes"])

    alice = world.client("alice", "1.90")
    bob = world.client("bob", "1.102", user="bob")
    for c in (alice, bob):
        c.wait_peer("exit")
        c.wait_ask("tcp", out.ip4(), 7001)
    wait_for("alice may use it", lambda: alice.peer("exit").get("ExitNodeOption"))
    never("bob may use it", lambda: bob.peer("exit").get("ExitNodeOption"))
    never("the site answers without the exit", lambda: alice.ask("tcp", site.ip, 7001))
    alice.ts("set", "--exit-node=exit")
    alice.wait_ask("tcp", site.ip, 7001)
    # Who may no longer loses it at once.
    POLICY["groups"]["group:travel"] = ["bob@"]
    server.policy(POLICY)
    wait_for("bob may use it now", lambda: bob.peer("exit").get("ExitNodeOption"), 5)
    wait_for("alice may not", lambda: not alice.peer("exit").get("ExitNodeOption"), 5)
    never("alice still reaches the site", lambda: alice.ask("tcp", site.ip, 7001))
    bob.ts("set", "--exit-node=exit")
    bob.wait_ask("tcp", site.ip, 7001)
