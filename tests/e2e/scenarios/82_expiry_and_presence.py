"""A machine's expiry, presence, host name and removal, as itself, its peers and the server's lists see them."""
import datetime
import re
import time

from world import Failure, wait_for


def seconds(text):
    """Of an RFC 3339 time; NULL or Go's zero is None."""
    if not text or text.startswith("0001-"):
        return None
    text = re.sub(r"(\.\d{6})\d+", r"\1", text).replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(text).timestamp()


def same_time(a, b):
    return (a is None) == (b is None) and (a is None or abs(a - b) < 2)


class Traffic:
    """Pings from one machine to another for as long as the block lasts; hardly any may get lost."""

    def __init__(self, client, ip):
        self.client, self.ip, self.log = client, ip, client.dir / "traffic"

    def __enter__(self):
        self.proc = self.client.host.spawn("ping", "-n", "-i", "0.2", self.ip, log=self.log)
        return self

    def __exit__(self, kind, *_):
        self.client.host.end(self.proc, 2)  # it sums up
        got = re.search(r"(\d+) packets transmitted, (\d+) received", self.log.read_text())
        if kind is None and (not got or int(got.group(2)) < int(got.group(1)) - 3):
            raise Failure(f"traffic stopped: {self.log.read_text()[-500:]}")


def expiry_seen(server, name, where):
    """Everybody's idea of when `name` expires."""
    seen = [seconds(server.node(name)["expiry"])]
    for client in where:
        status = client.status()
        side = status["Self"] if client.name == name else client.peer(name)
        seen.append(seconds(side.get("KeyExpiry")))
    return seen


def rename_itself(server, client, hostname, given):
    client.ts("set", f"--hostname={hostname}")
    wait_for(f"{hostname!r} is {given}", lambda: server.node(given)["name"] == hostname, 20)


def run(world):
    server = world.server()
    alice = world.client("alice", "1.102")
    bob = world.client("bob", "1.82", user="bob")
    carol = world.client("carol", "1.90", user="carol")
    everybody = (alice, bob, carol)
    for a in everybody:
        for b in everybody:
            if a is not b:
                a.wait_peer(b.name)
    alice.wait_path(bob.ip4(), "direct")
    alice.wait_path(carol.ip4(), "direct")
    bob_id, bob_ip = server.node("bob")["id"], bob.ip4()

    with Traffic(alice, bob_ip):
        # An expiry to come is known to all and cuts nothing: headscale.md 11 #14.
        when = int(time.time()) + 3600
        server.cli("nodes", "expire", "--identifier", bob_id, "--expiry",
                   datetime.datetime.fromtimestamp(when, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"))
        wait_for("all know when bob expires", lambda: all(
            same_time(t, when) for t in expiry_seen(server, "bob", everybody)), 10)
        if bob.state() != "Running" or any(c.peer("bob").get("Expired") for c in (alice, carol)):
            raise Failure("bob expired before his time")
        # Taken back, nobody knows of one: headscale.md 11 #15.
        server.cli("nodes", "expire", "--identifier", bob_id, "--disable")
        wait_for("nobody knows of an expiry", lambda: expiry_seen(server, "bob", everybody) == [None] * 4, 10)

        # The machine's own name, and the automatic one with it: headscale.md 11 #10.
        rename_itself(server, carol, "workbench", "workbench")
        alice.wait_peer("workbench", 5)
        # Whatever a host may be called: headscale.md 11 #12.
        for hostname, given in (("Joe's Mac mini", "joes-mac-mini"), ("Test@Host", "test-host"), ("-My_PC!-", "my-pc"),
                                ("我的电脑", "node"), ("a" * 80, "a" * 63), ("printer.lan", "printer")):
            rename_itself(server, carol, hostname, given)
        alice.wait_peer("printer", 5)
        # A name given by an administrator stays: headscale.md 11 #11.
        server.cli("nodes", "rename", "carol", "--identifier", server.node("printer")["id"])
        rename_itself(server, carol, "elsewhere", "carol")
        alice.wait_peer("carol", 5)

        # Who leaves is offline and was seen last by then, who is back is online: headscale.md 11 #16.
        seen = seconds(server.node("carol")["lastSeen"])
        if not server.node("carol")["online"] or not alice.peer("carol")["Online"]:
            raise Failure("carol is not online")
        carol.stop()
        wait_for("carol is offline", lambda: not server.node("carol")["online"], 30)
        wait_for("her peers see it", lambda: not any(c.peer("carol")["Online"] for c in (alice, bob)), 10)
        left = seconds(server.node("carol")["lastSeen"])
        if left <= seen or not same_time(seconds(alice.peer("carol")["LastSeen"]), left):
            raise Failure(f"seen last: {seen} {left} {alice.peer('carol')['LastSeen']}")
        carol.start()
        wait_for("carol is online", lambda: server.node("carol")["online"], 30)
        wait_for("her peers see it", lambda: all(c.peer("carol")["Online"] for c in (alice, bob)), 10)
        if seconds(server.node("carol")["lastSeen"]) <= left:
            raise Failure("nobody noticed when she came back")

        # One that is connected is deleted; the others go on: headscale.md 11 #17.
        alice.wait_ping(carol.ip4())
        server.cli("nodes", "delete", "--identifier", server.node("carol")["id"], "--force")
        wait_for("carol has to log in", lambda: carol.state() == "NeedsLogin", 30)
        wait_for("the others lost her", lambda: not any("carol" in c.peers() for c in (alice, bob)), 10)
        bob.wait_ping(alice.ip4())

    # Expired now: it knows, they know, and nothing gets through: headscale.md 11 #13.
    server.cli("nodes", "expire", "--identifier", bob_id)
    wait_for("bob has to log in", lambda: bob.state() == "NeedsLogin", 20)
    wait_for("alice sees it", lambda: alice.peer("bob").get("Expired"), 20)
    if alice.ping(bob_ip, timeout=2):
        raise Failure("an expired machine still answers")
    if seconds(server.node("bob")["expiry"]) > time.time() + 1:
        raise Failure("the list does not say so")
