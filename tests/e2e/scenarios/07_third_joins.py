"""A third machine joins while two talk: nothing is lost between the two."""
import re

from world import Failure


def run(world):
    world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_path(bob.ip4(), "direct")
    pings = alice.host.spawn("ping", "-n", "-i", "0.1", "-c", "80", bob.ip4(), log=alice.dir / "pings")
    carol = world.client("carol", user="carol")
    alice.wait_ping(carol.ip4())
    bob.wait_ping(carol.ip4())
    pings.wait(30)
    text = (alice.dir / "pings").read_text()
    got = re.search(r"(\d+) packets transmitted, (\d+) received", text)
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"pings were lost: {got.group(0)}")
