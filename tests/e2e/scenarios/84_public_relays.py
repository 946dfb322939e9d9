"""Relays out of a public map: two regions, from a URL, as Tailscale publishes its own, and none of the server's."""
import json

from world import Failure, Host, wait_for


def region(number, code, relay):
    return {"RegionID": number, "RegionCode": code, "RegionName": code.title(), "Latitude": 52.5, "Longitude": 13.4,
            "Nodes": [{"Name": f"{number}a", "RegionID": number, "HostName": relay.host.ip, "IPv4": relay.host.ip,
                       "IPv6": "none", "CertName": relay.pin, "STUNPort": 3478, "DERPPort": 443, "CanPort80": True}]}


def run(world):
    relays = {f"{number}": (code, world.relay(code)) for number, code in ((1, "ber"), (2, "fra"))}
    for _, relay in relays.values():
        relay.start()
    publisher = Host(world, "publisher")
    folder = world.dir / "public"
    folder.mkdir()
    (folder / "default").write_text(json.dumps(
        {"Regions": {number: region(int(number), code, relay) for number, (code, relay) in relays.items()}}))
    publisher.spawn("python3", "-m", "http.server", "-d", folder, "80", log=world.dir / "publisher.log")
    url = f"http://{publisher.ip}/default"
    wait_for("the map is published",
             lambda: publisher.run("curl", "-sf", "-o", "/dev/null", url, check=False).returncode == 0)
    world.server(f"derp:\n  server:\n    enabled: false\n  urls:\n    - {url}\n")
    clients = [world.client(name, up=False) for name in ("alice", "bob", "carol")]
    for client in clients:
        client.host.block_direct()
        client.up(world.the_server.auth_key(client.name))
    for client in clients:
        if set(client.netmap()["DERPMap"]["Regions"]) != set(relays):
            raise Failure(f"{client.name} knows other relays: {client.netmap()['DERPMap']}")
    # headscale.md 11 #3
    for a in clients:
        for b in clients:
            if a is b:
                continue
            a.wait_ping(b.ip4())
            a.wait_ping(b.ip6())
            if a.path_to(b.ip4()) != "relay":
                raise Failure(f"{a.name} to {b.name} is not through the relays")
