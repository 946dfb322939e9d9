"""Two tailnets with relays of their own, which both call region 910: machines lent between them meet over these relays alone,
each at the other's home, and nobody takes one region for the other."""
import importlib
import pathlib
import sys

from world import Failure, relay_config, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent))
share = importlib.import_module("110_share")


def own_relay(world, server, relay, tailnet):
    path = server.dir / f"{tailnet}.yaml"
    path.write_text(f"regions:\n  910:\n    regionid: 910\n    regioncode: {tailnet}\n    regionname: {tailnet}\n    nodes:\n"
                    + relay.node(910))
    server.cli("tailnets", "set", tailnet, "--relays", path)
    relay.start("-verify-client-url", f"{server.url}/verify", "-verify-client-url-fail-open=false")


def regions(client):
    """Region by the host of its relay."""
    found = {r["Nodes"][0]["HostName"]: r for r in client.netmap()["DERPMap"]["Regions"].values()}
    names = [n["Name"] for r in found.values() for n in r["Nodes"]]
    assert len(names) == len(set(names)), names
    return found


def run(world):
    house, reds, blues = (world.relay(name) for name in ("house", "reds", "blues"))
    # The server's own is not even there.
    server = world.server(share.DNS + relay_config(world, (910, [house])))
    relays = {"red": reds, "blue": blues}
    for tailnet, relay in relays.items():
        server.cli("tailnets", "create", tailnet)
        own_relay(world, server, relay, tailnet)
    box, gina = world.client("box", up=False), world.client("gina", up=False)
    for client, tailnet, user in ((box, "red", "anna"), (gina, "blue", "gina")):
        client.host.block_direct()
        client.up(share.key(server, tailnet, user))
        client.wait_running()
        client.echo("tcp:7001")
    for relay in relays.values():
        wait_for(f"somebody is at home at {relay.name}", lambda: relay.metric("derp_current_home_connections") == 1)
    assert set(regions(gina)) == {blues.host.ip}, regions(gina)

    lent = server.json("shares", "create", "box", "--tailnet", "red", "--to", "blue/gina")
    server.cli("shares", "accept", lent["id"], "--tailnet", "blue")
    gina.wait_peer("box")
    gina.wait_ask("tcp", box.ip4(), 7001)
    if gina.path_to(box.ip4()) != "relay":
        raise Failure("gina to box is not through a relay")
    for client, own, other, peer in ((gina, blues, reds, "box."), (box, reds, blues, "gina.")):
        known = regions(client)
        assert set(known) == {own.host.ip, other.host.ip}, known
        assert known[own.host.ip]["RegionID"] == 910, known
        there = known[other.host.ip]
        assert 32768 <= there["RegionID"] < 65536 and there["NoMeasureNoHome"], there
        (lend,) = [p for p in client.netmap()["Peers"] if p["Name"].startswith(peer)]
        assert lend["HomeDERP"] == there["RegionID"], (lend, there)
    for relay in relays.values():
        if relay.metric("derp_current_home_connections") != 1:
            raise Failure(f"{relay.name} is somebody else's home, too")

    # Another number of its own: the foreign one goes by its own name now, and they meet as before.
    path = server.dir / "blue.yaml"
    path.write_text(path.read_text().replace("910", "911"))
    server.cli("tailnets", "set", "blue", "--relays", path)
    wait_for("gina's map has both", lambda: {r["RegionID"] for r in regions(gina).values()} >= {910, 911})
    wait_for("box knows where gina is", lambda: regions(box).get(blues.host.ip, {}).get("RegionID") == 911)
    gina.wait_ask("tcp", box.ip4(), 7001)
    server.cli("shares", "revoke", lent["id"], "--tailnet", "red")
    wait_for("the other's relay is forgotten", lambda: reds.host.ip not in regions(gina))
