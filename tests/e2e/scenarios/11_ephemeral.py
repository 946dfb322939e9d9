"""An ephemeral node vanishes: at once on log-out, after its time when it just stays away."""
from world import wait_for


def run(world):
    server = world.server("node:\n  ephemeral:\n    inactivity_timeout: 66s\n")
    alice = world.client("alice")
    one = world.client("one", key_flags=("--ephemeral",))
    two = world.client("two", key_flags=("--ephemeral",))
    alice.wait_peer("one")
    alice.wait_peer("two")
    one.ts("logout")
    wait_for("one is gone", lambda: "one" not in {n["givenName"] for n in server.nodes()})
    wait_for("alice lost one", lambda: "one" not in alice.peers())
    two.stop()
    wait_for("two is gone", lambda: "two" not in {n["givenName"] for n in server.nodes()}, 100, every=1)
    wait_for("alice lost two", lambda: "two" not in alice.peers())
