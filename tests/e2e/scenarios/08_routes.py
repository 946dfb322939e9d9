"""A subnet route and an exit node carry traffic; two routers of one subnet fail over."""
from world import Failure, Host, wait_for

LAN = "10.88.0"


def run(world):
    server = world.server()
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.echo("tcp:7777")
    alice = world.client("alice", flags=("--accept-routes",))
    one, two = (world.router(name, (lan, LAN)) for name in ("one", "two"))
    for r in (one, two):
        r.up(server.auth_key(), f"--advertise-routes={LAN}.0/24")
    ids = {r.name: server.node(r.name)["id"] for r in (one, two)}
    route = f"{LAN}.0/24"
    wait_for("the routes are available", lambda: route in server.node("one")["availableRoutes"]
             and route in server.node("two")["availableRoutes"])
    if alice.ask_tcp(inside.ip, timeout=2):
        raise Failure("a route that nobody approved carries traffic")
    for r in (one, two):
        server.cli("nodes", "approve-routes", "--identifier", ids[r.name], "--routes", route)
    alice.check_tcp(inside.ip)
    serving = [n for n in (one, two) if server.node(n.name)["subnetRoutes"] == [route]]
    if len(serving) != 1:
        raise Failure(f"not one primary router: {server.nodes()}")
    first = serving[0]
    second = two if first is one else one
    first.stop()
    alice.check_tcp(inside.ip, timeout=45)
    wait_for("the other router is primary", lambda: server.node(second.name)["subnetRoutes"] == [route])
    # Back again: it does not take the route away.
    first.start()
    first.wait_running()
    wait_for("the first router is online again", lambda: server.node(first.name)["online"])
    if server.node(second.name)["subnetRoutes"] != [route]:
        raise Failure("the route flapped back")
    # Withdrawn at once when disapproved.
    for r in (one, two):
        server.cli("nodes", "approve-routes", "--identifier", ids[r.name], "--routes", "")
    wait_for("nobody serves it", lambda: not any(server.node(r.name)["subnetRoutes"] for r in (one, two)), 2)
    wait_for("alice lost the route", lambda: not alice.ask_tcp(inside.ip, timeout=2), 10)

    # The exit node: what is not the tailnet's goes through it.
    one.ts("set", "--advertise-exit-node")
    wait_for("the exit is available", lambda: "0.0.0.0/0" in server.node("one")["availableRoutes"])
    server.cli("nodes", "approve-routes", "--identifier", ids["one"], "--routes", "0.0.0.0/0")
    # Of both families by approving one (headscale.md 11 #96).
    wait_for("both families are approved", lambda: {"0.0.0.0/0", "::/0"} == set(server.node("one")["approvedRoutes"]))
    wait_for("alice is told of both", lambda: {"0.0.0.0/0", "::/0"} <= set(alice.peer("one")["AllowedIPs"]))
    wait_for("alice may use it", lambda: alice.peer("one").get("ExitNodeOption"))
    if alice.ask_tcp(inside.ip, timeout=2):
        raise Failure("the printer answers without the exit node")
    alice.ts("set", "--exit-node=one")
    alice.check_tcp(inside.ip)
    # Who is on two networks carries between them, by relay alone, too (headscale.md 11 #98).
    alice.stop()
    alice.host.block_direct()
    alice.start()
    alice.wait_running()
    alice.check_tcp(inside.ip, timeout=90)
    alice.wait_path(one.ip4(), "relay", timeout=90)
