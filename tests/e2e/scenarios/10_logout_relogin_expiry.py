"""Log-out, log-in again as the same and as another user, and key expiry: who keeps what."""
from world import Failure, wait_for


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_peer("bob")
    before = server.node("bob")
    bob.log_out()
    wait_for("bob has to log in", lambda: bob.state() == "NeedsLogin")
    wait_for("alice sees bob's key expired or bob gone", lambda: "bob" not in alice.peers()
             or alice.peer("bob").get("Expired"), 20)
    bob.up(server.auth_key())
    after = server.node("bob")
    if (after["id"], after["ipAddresses"]) != (before["id"], before["ipAddresses"]):
        raise Failure(f"bob is somebody else now: {before} {after}")
    if after["nodeKey"] == before["nodeKey"]:
        raise Failure("the node key did not change")
    alice.wait_ping(bob.ip4())

    # Its approved routes outlive that, and are served the moment it is back: headscale.md 11 #25.
    route = "10.99.0.0/24"
    bob.ts("set", f"--advertise-routes={route}")
    server.cli("nodes", "approve-routes", "--identifier", after["id"], "--routes", route)
    served = lambda: route in (alice.peer("bob").get("PrimaryRoutes") or []) and route in alice.peer("bob")["AllowedIPs"]
    wait_for("alice has bob's route", served, 20)
    bob.log_out()
    wait_for("nobody serves the route", lambda: server.node("bob")["subnetRoutes"] == [])
    if server.node("bob")["approvedRoutes"] != [route]:
        raise Failure("logging out took the approval away")
    bob.up(server.auth_key(), f"--advertise-routes={route}")
    wait_for("bob serves it again", lambda: server.node("bob")["subnetRoutes"] == [route], 10)
    wait_for("alice has bob's route again", served, 10)
    if server.node("bob")["id"] != after["id"]:
        raise Failure("bob is another machine")

    # An administrator expires the key.
    server.cli("nodes", "expire", "--identifier", after["id"])
    wait_for("bob has to log in", lambda: bob.state() == "NeedsLogin", 20)
    wait_for("alice sees it", lambda: alice.peer("bob").get("Expired"), 20)
    if alice.ping(after["ipAddresses"][0], timeout=2):
        raise Failure("an expired node still answers")
    bob.up(server.auth_key(), "--reset")
    if server.node("bob")["id"] != before["id"]:
        raise Failure("bob lost his id")
    alice.wait_ping(bob.ip4())

    # The same machine for another user is another node.
    bob.log_out()
    bob.up(server.auth_key("zoe"), hostname="bob")
    nodes = [n for n in server.nodes() if n["machineKey"] == before["machineKey"]]
    if len(nodes) != 2 or {n["user"]["name"] for n in nodes} != {"alice", "zoe"}:
        raise Failure(f"the machine's nodes: {nodes}")
    # A restart needs no log-in.
    bob.stop()
    bob.start()
    bob.wait_running()
