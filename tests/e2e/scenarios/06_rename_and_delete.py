"""A rename and a deletion are seen by the peers within a second."""
import time

from world import Failure, wait_for


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_peer("bob")
    node = server.node("bob")
    server.cli("nodes", "rename", "robert", "--identifier", node["id"])
    start = time.monotonic()
    wait_for("alice sees the new name", lambda: "robert" in alice.peers(), timeout=1.5, every=0.05)
    print(f"     rename seen after {time.monotonic() - start:.2f} s")
    if "bob" in alice.peers():
        raise Failure("the old name is still there")
    wait_for("bob knows his new name", lambda: bob.status()["Self"]["DNSName"].startswith("robert."), timeout=5)
    server.cli("nodes", "delete", "--identifier", node["id"], "--force")
    wait_for("alice lost robert", lambda: "robert" not in alice.peers(), timeout=1.5, every=0.05)
    wait_for("bob has to log in again", lambda: bob.state() == "NeedsLogin", timeout=30)
    # And may.
    bob.up(server.auth_key())
    alice.wait_peer("bob")
