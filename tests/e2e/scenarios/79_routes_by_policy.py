"""Routes that the policy approves, and what it lets through to them: headscale.md 11 #99, #100."""
from world import POLICY_IN_DATABASE, Host, never, wait_for

LAN = "10.88.0"
WHOLE, PART, OTHER = "10.88.0.0/16", f"{LAN}.0/24", "10.99.0.0/24"


def policy(approvers, ports):
    return {"groups": {"group:ops": ["bob@"]}, "tagOwners": {"tag:router": ["bob@"]},
            "autoApprovers": {"routes": approvers},
            "acls": [{"action": "accept", "src": ["alice@"], "dst": ports}]}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.user("bob")
    server.user("alice")
    server.user("carol")
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.echo("tcp:7001", "tcp:7002")
    server.policy(policy({WHOLE: ["tag:router", "group:ops", "carol@"]}, [f"{inside.ip}:7001"]))

    def approved(name, *routes):
        wait_for(f"{name} has {routes}", lambda: sorted(server.node(name)["approvedRoutes"]) == sorted(routes))

    # Approved as they register, policy first: by tag, by group, by user; a part of what is approved, and nothing else.
    router = world.router("router", (lan, LAN))
    router.up(server.tags_key("tag:router"), f"--advertise-routes={PART},{OTHER}")
    approved("router", PART)
    bobs = world.client("bobs", user="bob", flags=(f"--advertise-routes={PART}",))
    approved("bobs", PART)
    carols = world.client("carols", user="carol", flags=(f"--advertise-routes={WHOLE}",))
    approved("carols", WHOLE)
    alice = world.client("alice", flags=(f"--advertise-routes={PART}", "--accept-routes"))
    wait_for("alice's is available", lambda: server.node("alice")["availableRoutes"] == [PART])
    approved("alice")
    alice.ts("set", "--advertise-routes=")

    # The filter on the router keeps to the rule's destination and port.
    for other in (bobs, carols):
        other.stop()
    wait_for("the router serves", lambda: server.node("router")["subnetRoutes"] == [PART])
    alice.wait_ask("tcp", inside.ip, 7001, timeout=60)
    never("another port answers", lambda: alice.ask("tcp", inside.ip, 7002))
    server.policy(policy({}, [f"{inside.ip}:7002"]))
    alice.wait_ask("tcp", inside.ip, 7002)
    wait_for("the other port is closed", lambda: not alice.ask("tcp", inside.ip, 7001, timeout=1))

    # What was approved stays when the policy no longer does it; policy after the announcement counts as well.
    approved("router", PART)
    server.policy(policy({OTHER: ["tag:router"]}, [f"{inside.ip}:7002"]))
    approved("router", PART, OTHER)
