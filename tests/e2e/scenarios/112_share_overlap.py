"""Two tailnets with the same addresses, machines and users: a shared machine is known to each side by an address of
that side's, and traffic goes both to and fro; nothing else crosses."""
import importlib
import pathlib
import sys

from world import wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent))
share = importlib.import_module("110_share")


def run(world):
    server = world.server(share.DNS)
    ranges = "100.64.0.0/24,fd7a:115c:a1e0:1::/64"
    for name in ("red", "blue"):
        server.cli("tailnets", "create", name, "--prefixes", ranges, "--may-overlap")
    box = share.join(world, "box", "red", "anna")
    gina = share.join(world, "gina", "blue", "anna")
    assert box.ip4() == gina.ip4() and box.ip6() == gina.ip6(), (box.ip4(), gina.ip4())
    for client in (box, gina):
        client.echo("tcp:7001", "udp:7002")
    lent = server.json("shares", "create", "box", "--tailnet", "red", "--to", "blue/anna")
    server.cli("shares", "accept", lent["id"], "--tailnet", "blue")
    gina.wait_peer("box")
    there = next(ip for ip in gina.peer("box")["TailscaleIPs"] if ":" not in ip)
    assert there != gina.ip4() and there.startswith("100.64.0."), there
    for proto, port in (("tcp", 7001), ("udp", 7002)):
        gina.wait_ask(proto, there, port)
    six = next(ip for ip in gina.peer("box")["TailscaleIPs"] if ":" in ip)
    gina.wait_ask("tcp", six, 7001)
    wait_for("gina resolves the name", lambda: gina.resolve("box.red.net.example") == [there])
    server.cli("shares", "revoke", lent["id"], "--tailnet", "red")
    wait_for("it is gone", lambda: not gina.peers())
