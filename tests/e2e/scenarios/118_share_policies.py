"""Both sides' policies have a say about what is lent: the owner's, where guests may go; the guests', who of them may. One
invitation is good for several, each log-in for itself; and the name resolves where MagicDNS is off, on either side."""
import importlib
import json
import pathlib
import sys

from world import POLICY_IN_DATABASE, Failure, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent))
share = importlib.import_module("110_share")


def policy(server, tailnet, *grants):
    path = server.dir / "policy.hujson"
    path.write_text(json.dumps({"groups": {"group:guests": ["gina@"]},
                                "grants": [{"src": s, "dst": d, "ip": i} for s, d, i in grants]}))
    server.cli("policy", "set", "-f", path, "--tailnet", tailnet)


def run(world):
    server = world.server(POLICY_IN_DATABASE + share.DNS)
    server.cli("tailnets", "create", "guests")
    server.cli("dns", "magic", "off", "--tailnet", "guests")
    box = share.join(world, "box", "default", "anna")
    gina, gerd = (share.join(world, name, "guests", name) for name in ("gina", "gerd"))
    for client in (box, gina):
        client.echo("tcp:7001", "tcp:7002")

    # One invitation, two log-ins, and no third.
    secret = server.json("shares", "invite", "box", "--uses", "2")["secret"]
    for user in ("gina", "gerd"):
        server.cli("shares", "join", secret, "--tailnet", "guests", "--user", user)
    server.cli("users", "create", "third", "--tailnet", "guests")
    if server.cli("shares", "join", secret, "--tailnet", "guests", "--user", "third", check=False).returncode == 0:
        raise Failure("an invitation for two was used three times")
    for client in (gina, gerd):
        client.wait_peer("box")
        client.wait_ask("tcp", box.ip4(), 7001)

    # By name, where the guests have no MagicDNS; and where the owner has none either.
    wait_for("gina resolves the name", lambda: gina.resolve("box.net.example") == [box.ip4()])
    server.cli("dns", "magic", "off")
    server.cli("dns", "magic", "on", "--tailnet", "guests")
    wait_for("gina resolves it by her own MagicDNS",
             lambda: gina.netmap()["DNS"].get("Proxied") and gina.resolve("box.net.example") == [box.ip4()])
    server.cli("dns", "magic", "off", "--tailnet", "guests")
    wait_for("gina resolves it with none at all",
             lambda: not gina.netmap()["DNS"].get("Proxied") and gina.resolve("box.net.example") == [box.ip4()])

    # The owner: guests to one port, and this one log-in alone to the other.
    policy(server, "default", (["autogroup:shared"], ["*"], ["tcp:7001"]))
    wait_for("the other port is closed to guests", lambda: not gina.ask("tcp", box.ip4(), 7002))
    for client in (gina, gerd):
        client.wait_ask("tcp", box.ip4(), 7001)
    policy(server, "default", (["autogroup:member"], ["*"], ["*"]))
    wait_for("members are no guests", lambda: not gina.ask("tcp", box.ip4(), 7001))
    policy(server, "default", (["*", "autogroup:shared"], ["*"], ["*"]))
    gina.wait_ask("tcp", box.ip4(), 7002)

    # The guests: only those of a group of theirs, which is nothing in the owner's policy.
    policy(server, "guests", (["group:guests"], ["*"], ["*"]))
    wait_for("gerd is let nowhere", lambda: not gerd.ask("tcp", box.ip4(), 7001))
    gina.wait_ask("tcp", box.ip4(), 7001)
    policy(server, "default", (["group:guests"], ["*"], ["*"]))
    wait_for("a group of the guests' is nobody here", lambda: not gina.ask("tcp", box.ip4(), 7001))
