"""An ephemeral node vanishes: at once on log-out, after its time when it just stays away; not when it is back in time.

The server lives eight hours west of everybody: headscale.md 11 #6.
"""
import time

from world import Failure, Skipped, wait_for

TIME_OUT = 66  # seconds, hardly more than the least that can be configured


def run(world):
    server = world.server(f"node:\n  ephemeral:\n    inactivity_timeout: {TIME_OUT}s\n", start=False)
    server.env = {"TZ": "WEST+8"}
    server.start()
    alice = world.client("alice")
    one, two, three, four = [world.client(name, key_flags=("--ephemeral",)) for name in ("one", "two", "three", "four")]
    names = lambda: {n["givenName"] for n in server.nodes()}
    for name in ("one", "two", "three", "four"):
        alice.wait_peer(name)
    # headscale.md 11 #5
    one.log_out()
    wait_for("one is gone", lambda: "one" not in names())
    wait_for("alice lost one", lambda: "one" not in alice.peers())

    # headscale.md 11 #7: three is down long enough to be offline; four is down and up again at once.
    three_id = server.node("three")["id"]
    left = time.monotonic()
    two.stop()
    three.ts("down")
    four.ts("down")
    four.ts("up")
    wait_for("three is offline", lambda: not server.node("three")["online"], 40, every=0.5)
    if time.monotonic() - left > TIME_OUT - 25:
        raise Skipped("too slow a machine to be back in time")
    three.ts("up")
    wait_for("three is back", lambda: server.node("three")["online"], 20, every=0.5)

    # headscale.md 11 #8: not before its time, and then.
    wait_for("two is gone", lambda: "two" not in names(), TIME_OUT + 40, every=1)
    if time.monotonic() - left < TIME_OUT - 5:
        raise Failure(f"two is gone after {time.monotonic() - left:.1f} s")
    wait_for("alice lost two", lambda: "two" not in alice.peers())
    if names() != {"alice", "three", "four"} or server.node("three")["id"] != three_id:
        raise Failure(f"who came back is not there: {server.nodes()}")
    for client in (three, four):
        alice.wait_ping(client.ip4())
