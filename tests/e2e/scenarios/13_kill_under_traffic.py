"""The server is killed with -9 under traffic and started again: traffic never stops, nobody logs in again."""
import re

from world import Failure, wait_for


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_path(bob.ip4(), "direct")
    pings = alice.host.spawn("ping", "-n", "-i", "0.1", "-c", "150", bob.ip4(), log=alice.dir / "pings")
    before = {n["givenName"]: (n["id"], n["nodeKey"], n["ipAddresses"]) for n in server.nodes()}
    # What was answered the moment before must be there after.
    key = server.auth_key("carol", "--reusable")
    server.kill()
    server.start()
    after = {n["givenName"]: (n["id"], n["nodeKey"], n["ipAddresses"]) for n in server.nodes()}
    if before != after:
        raise Failure(f"nodes changed: {before} {after}")
    wait_for("both are back by themselves", lambda: all(n["online"] for n in server.nodes()), 60)
    carol = world.client("carol", up=False).up(key)
    alice.wait_peer("carol")
    alice.wait_ping(carol.ip4())
    pings.wait(40)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", (alice.dir / "pings").read_text())
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"traffic stopped: {got.group(0)}")
    if alice.state() != "Running" or bob.state() != "Running":
        raise Failure("somebody has to log in again")
