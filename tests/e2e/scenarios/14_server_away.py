"""The server is away for a minute while clients keep talking; a change made after is seen by all."""
import re
import time

from world import Failure, wait_for


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_path(bob.ip4(), "direct")
    pings = alice.host.spawn("ping", "-n", "-i", "0.5", "-c", "130", bob.ip4(), log=alice.dir / "pings")
    server.stop()
    time.sleep(60)
    server.start()
    pings.wait(60)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", (alice.dir / "pings").read_text())
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"pings were lost: {got.group(0)}")
    wait_for("both are back", lambda: all(n["online"] for n in server.nodes()), 60)
    server.cli("nodes", "rename", "robert", "--identifier", server.node("bob")["id"])
    wait_for("alice sees the new name", lambda: "robert" in alice.peers(), 10)
