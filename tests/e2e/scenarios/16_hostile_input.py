"""Hostile clients are refused, one way after the other; nobody else feels it and memory stays bounded."""
import re

from world import Failure, Host


def run(world):
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_path(bob.ip4(), "direct")
    pings = alice.host.spawn("ping", "-n", "-i", "0.2", "-c", "100", bob.ip4(), log=alice.dir / "pings")
    before = server.rss_kib()
    enemy = Host(world, "enemy")
    done = enemy.run(world.hatsize.parent / "hatsize-bench", "hostile", "--server", server.url, "--auth-key",
                     server.auth_key("sim", "--reusable"), check=False, timeout=120)
    # headscale.md 11 #118, over a WebSocket by a client of our own; #121, the refusal
    if done.returncode != 0:
        raise Failure(f"hatsize-bench hostile: exit {done.returncode}\n{done.stdout}{done.stderr}")
    grown = server.rss_kib() - before
    # Sanitizers keep freed memory for a while; the release build grows by less than a tenth of this.
    if grown > 400 * 1024:
        raise Failure(f"the server grew by {grown} KiB")
    pings.wait(40)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", (alice.dir / "pings").read_text())
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"the two who talked felt it: {got.group(0)}")
    carol = world.client("carol")
    alice.wait_ping(carol.ip4())
