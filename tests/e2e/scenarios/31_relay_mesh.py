"""Two meshed stand-alone relays of one region, clients homed on each; either is killed and comes back under traffic."""
import signal

from world import Failure, relay_config, wait_for

MESH_KEY = "31" * 32


def links(relay):
    return relay.metric("hatsize_derp_mesh_links")


def home(client, others):
    """The client reaches only this one of the relays, so that it is homed there."""
    hosts = ", ".join(r.host.ip for r in others)
    client.host.run("nft", "-f", "-", input=f"""
        table inet homed {{
            chain out {{ type filter hook output priority -5; oifname "eth*" ip daddr {{ {hosts} }} reject; }}
        }}""")


def at_home(relay):
    return relay.metric("derp_current_home_connections")


def run(world):
    one, two = world.relay("relay1"), world.relay("relay2")
    for relay in (one, two):
        (relay.dir / "mesh").write_text(MESH_KEY + "\n")
        names = f"{one.host.ip},{two.host.ip}"
        pins = f"{one.host.ip}={one.pin},{two.host.ip}={two.pin}"
        relay.start("-mesh-psk-file", relay.dir / "mesh", "-mesh-with", names, "-mesh-pins", pins)
    for relay in (one, two):
        wait_for(f"{relay.name} is linked", lambda: links(relay) == 1)
        wait_for(f"{relay.name} knows itself", lambda: "is this one" in relay.text())

    server = world.server(relay_config(world, (910, [one, two])))
    clients = {"anna": one, "bert": two, "carl": two}
    for name, relay in clients.items():
        client = world.client(name, up=False)
        client.host.block_direct()
        home(client, [two if relay is one else one])
        client.up(server.auth_key())
        client.serve_tcp()
    anna, bert, carl = world.clients
    wait_for("one client at the first relay", lambda: at_home(one) == 1)
    wait_for("two clients at the second", lambda: at_home(two) == 2)

    everybody = [(a, b) for a in world.clients for b in world.clients if a is not b]
    for a, b in everybody:
        a.wait_ping(b.ip4())
        a.check_tcp(b.ip4())
    if one.metric("derp_packets_forwarded_out") == 0 or two.metric("derp_packets_forwarded_in") == 0:
        raise Failure("nothing was forwarded")
    if anna.path_to(bert.ip4()) != "relay":
        raise Failure("anna to bert is not through the relays")

    # Killed and back, each of them, while pings run: the mesh and the clients find each other by themselves.
    for relay, other in ((two, one), (one, two)):
        pings = anna.host.spawn("ping", "-n", "-i", "0.2", "-W", "1", bert.ip4(), log=anna.dir / "ping.log")
        relay.stop(signal.SIGKILL)
        wait_for(f"{other.name} has lost {relay.name}", lambda: links(other) == 0)
        if other is two:
            carl.check_tcp(bert.ip4())  # those at the relay that stands do not notice
        relay.start()
        for r in (one, two):
            wait_for(f"{r.name} is linked again", lambda: links(r) == 1)
        for a, b in everybody:
            a.wait_ping(b.ip4(), timeout=60)
            a.check_tcp(b.ip4(), timeout=60)
        anna.host.end(pings, signal.SIGINT)

    # An orderly end: clients are told, and are back as soon as the relay is.
    two.stop()
    two.start()
    anna.wait_ping(bert.ip4(), timeout=60)

    # Without the mesh key nobody forwards: a relay with another key is no relay of this mesh.
    two.stop()
    (two.dir / "mesh").write_text("32" * 32 + "\n")
    two.start()
    wait_for("the first relay refuses the second's watching", lambda: "broke the protocol" in one.text())
    if links(one) != 0 or anna.ping(bert.ip4(), timeout=2):
        raise Failure("packets pass between relays that do not share a key")
