"""Three routers of one subnet: available, approved, serving, taken over, not taken back; headscale.md 11 #92, #93."""
from world import Failure, Host, never, wait_for

LAN = "10.88.0"
ROUTE = f"{LAN}.0/24"

def run(world):
    # What is shown here is not to depend on how soon somebody answers.
    server = world.server("node:\n  routes:\n    ha:\n      probe_interval: 0\n")
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.echo("tcp:7777")
    alice = world.client("alice", flags=("--accept-routes",))
    routers = [world.router(name, (lan, LAN)).up(server.auth_key(), f"--advertise-routes={ROUTE}")
               for name in ("one", "two", "three")]
    one, two, three = routers

    def state():
        """Of each router: available, approved, serving; as list-routes has it."""
        nodes = {n["givenName"]: n for n in server.json("nodes", "list-routes")}
        return {r.name: tuple(ROUTE in nodes[r.name][kind] if r.name in nodes else False
                              for kind in ("availableRoutes", "approvedRoutes", "subnetRoutes")) for r in routers}

    def approve(r, *routes):
        server.cli("nodes", "approve-routes", "--identifier", server.node(r.name)["id"], "--routes", ",".join(routes))

    def is_told(primary):
        """Which peer's AllowedIPs have the subnet."""
        peers = alice.peers()
        return [r.name for r in routers if ROUTE in (peers[r.name].get("AllowedIPs") or [])] == primary

    def serves(who):
        want = {r.name: (True, True, r is who) for r in routers}
        wait_for(f"{who.name} serves", lambda: state() == want)
        wait_for(f"alice is told of {who.name} alone", lambda: is_told([who.name]))
        alice.check_tcp(inside.ip)

    # Advertised: available to be approved, and nobody is told (headscale.md 11 #92).
    for r in routers:
        alice.wait_peer(r.name)
    wait_for("all are available", lambda: state() == {r.name: (True, False, False) for r in routers})
    if not is_told([]) or alice.ask_tcp(inside.ip, timeout=1):
        raise Failure("a route that nobody approved is told of")
    # Approved: serving, and in the peers' AllowedIPs; un-approved: gone.
    approve(two, ROUTE)
    wait_for("two serves", lambda: state()["two"] == (True, True, True))
    wait_for("alice is told", lambda: is_told(["two"]))
    alice.check_tcp(inside.ip)
    approve(two)
    wait_for("nobody serves", lambda: state()["two"] == (True, False, False))
    wait_for("alice is told of nobody", lambda: is_told([]))

    # Of three the first to be approved serves, and here that is the lowest (headscale.md 11 #93).
    for r in routers:
        approve(r, ROUTE)
    serves(one)
    table = server.cli("nodes", "list-routes").stdout
    if table.count(ROUTE) != 7:  # three available, three approved, one serving
        raise Failure(f"not all states are shown:\n{table}")
    one.stop()
    wait_for("two serves", lambda: state()["two"][2] and not state()["one"][2])
    alice.check_tcp(inside.ip)
    two.stop()
    wait_for("three serves", lambda: state()["three"][2] and not state()["two"][2])
    alice.check_tcp(inside.ip)
    # Back again: nobody takes the route away.
    for r in (one, two):
        r.start()
        r.wait_running()
        wait_for(f"{r.name} is online", lambda: server.node(r.name)["online"])
    never("the route was taken back", lambda: [n for n, s in state().items() if s[2]] != ["three"])
    serves(three)
    # The one that serves is disabled: the lowest of the others does.
    approve(three)
    wait_for("one serves", lambda: state() == {"one": (True, True, True), "two": (True, True, False),
                                               "three": (True, False, False)})
    alice.check_tcp(inside.ip)
    # Approved again: that changes nothing.
    approve(three, ROUTE)
    serves(one)
