"""What a share may give beyond the machine: a subnet route, an exit node, connections the other way, each only when
its terms say so; two machines lent to each other talk both ways; all of it through a relay alone."""
import importlib
import pathlib
import sys

from world import Failure, Host, never, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent))
share = importlib.import_module("110_share")

LAN, OUTSIDE, PAGE = "10.88.0", "11.22.33", "44.55.66.77"


def run(world):
    server = world.server(share.DNS)
    server.cli("tailnets", "create", "guests")
    lan, outside = world.network("lan"), world.network("outside")
    printer, page = Host(world, "printer", net=LAN, bridge=lan), Host(world, "page", net=OUTSIDE, bridge=outside)
    for host in (printer, page):
        host.echo("tcp:7777")
    box = world.router("box", (lan, LAN), (outside, OUTSIDE))
    # Beyond the networks that the box itself is on: clients keep these out of an exit node's world.
    page.run("ip", "addr", "add", f"{PAGE}/32", "dev", "lo")
    box.host.run("ip", "route", "add", PAGE, "via", page.ip)
    box.up(share.key(server, "default", "anna"), f"--advertise-routes={LAN}.0/24", "--advertise-exit-node")
    gina = world.client("gina", up=False)
    gina.host.block_direct()
    gina.up(share.key(server, "guests", "gina"), "--accept-routes")
    for client in (box, gina):
        client.echo("tcp:7001")
    wait_for("the routes are there", lambda: f"{LAN}.0/24" in server.node("box")["availableRoutes"])
    server.cli("nodes", "approve-routes", "--identifier", server.node("box")["id"], "--routes",
               f"{LAN}.0/24,0.0.0.0/0,::/0")
    lent = server.json("shares", "create", "box", "--to", "guests/gina")
    server.cli("shares", "accept", lent["id"], "--tailnet", "guests")
    gina.wait_peer("box")
    gina.wait_ask("tcp", box.ip4(), 7001)
    if gina.path_to(box.ip4()) != "relay":
        raise Failure("gina to box is not through the relay")

    allowed = lambda: set(gina.peer("box")["AllowedIPs"])
    own = {f"{box.ip4()}/32", f"{box.ip6()}/128"}
    assert allowed() == own, allowed()
    server.cli("shares", "set", lent["id"], "--routes", f"{LAN}.0/24")
    wait_for("the route is lent", lambda: allowed() == own | {f"{LAN}.0/24"})
    gina.check_tcp(printer.ip)
    server.cli("shares", "set", lent["id"])
    wait_for("the route is gone", lambda: allowed() == own)
    never("gina reaches the printer", lambda: gina.ask_tcp(printer.ip, timeout=2))

    server.cli("shares", "set", lent["id"], "--exit-node")
    wait_for("the exit node is lent", lambda: gina.peer("box").get("ExitNodeOption"))
    gina.ts("set", "--exit-node=" + box.ip4())
    gina.check_tcp(PAGE)
    # What is the owner's own network is not the world.
    never("the exit leads to the printer", lambda: gina.ask_tcp(printer.ip, timeout=2))
    gina.ts("set", "--exit-node=")
    server.cli("shares", "set", lent["id"])
    wait_for("the exit node is gone", lambda: allowed() == own)

    never("the box reaches gina", lambda: box.ask("tcp", gina.ip4(), 7001))
    server.cli("shares", "set", lent["id"], "--two-way")
    waits = server.json("shares", "list", "--tailnet", "guests")[0]["state"] == "pending"
    if waits:
        server.cli("shares", "accept", lent["id"], "--tailnet", "guests")
    box.wait_ask("tcp", gina.ip4(), 7001)
    gina.wait_ask("tcp", box.ip4(), 7001)

    # One way each, but both.
    server.cli("shares", "set", lent["id"])
    wait_for("the box is shut out again", lambda: not box.ask("tcp", gina.ip4(), 7001))
    back = server.json("shares", "create", "gina", "--tailnet", "guests", "--to", "default/anna")
    server.cli("shares", "accept", back["id"], "--tailnet", "default")
    box.wait_ask("tcp", gina.ip4(), 7001)
    gina.wait_ask("tcp", box.ip4(), 7001)
    for peer in (gina.netmap()["Peers"][0], box.netmap()["Peers"][0]):
        assert not peer.get("IsJailed") and not peer["Hostinfo"].get("ShareeNode") and peer.get("Sharer"), peer
