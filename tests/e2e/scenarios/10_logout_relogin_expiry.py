"""Log-out, log-in again as the same and as another user, and key expiry: who keeps what."""
from world import Failure, wait_for


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_peer("bob")
    before = server.node("bob")
    bob.ts("logout")
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

    # An administrator expires the key.
    server.cli("nodes", "expire", "--identifier", after["id"])
    wait_for("bob has to log in", lambda: bob.state() == "NeedsLogin", 20)
    wait_for("alice sees it", lambda: alice.peer("bob").get("Expired"), 20)
    if alice.ping(after["ipAddresses"][0], timeout=2):
        raise Failure("an expired node still answers")
    bob.up(server.auth_key())
    if server.node("bob")["id"] != before["id"]:
        raise Failure("bob lost his id")
    alice.wait_ping(bob.ip4())

    # The same machine for another user is another node.
    bob.ts("logout")
    bob.up(server.auth_key("zoe"), hostname="bob")
    nodes = [n for n in server.nodes() if n["machineKey"] == before["machineKey"]]
    if len(nodes) != 2 or {n["user"]["name"] for n in nodes} != {"alice", "zoe"}:
        raise Failure(f"the machine's nodes: {nodes}")
    # A restart needs no log-in.
    bob.stop()
    bob.start()
    bob.wait_running()
