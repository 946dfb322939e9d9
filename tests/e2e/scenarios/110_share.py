"""A machine is lent to a user of another tailnet: reached by name and address, never the other way, only the ports
agreed; others of both tailnets see nothing; revoking ends what is open. Then the same by invitation."""
import time

from world import Failure, never, wait_for

DNS = """
dns:
  magic_dns: true
  base_domain: net.example
  override_local_dns: false
"""


def key(server, tailnet, user):
    users = server.json("users", "list", "--tailnet", tailnet)
    if not any(u["name"] == user for u in users):
        server.cli("users", "create", user, "--tailnet", tailnet)
        users = server.json("users", "list", "--tailnet", tailnet)
    id = next(u["id"] for u in users if u["name"] == user)
    return server.json("preauthkeys", "create", "--tailnet", tailnet, "--user", id)["key"]


def join(world, name, tailnet, user, version=None):
    client = world.client(name, version, up=False)
    client.up(key(world.the_server, tailnet, user))
    client.wait_running()
    return client


def cut(box, guest, end):
    """How long an open connection of the guest's to the box lives after `end`."""
    live = guest.host.spawn("python3", "-c", (
        "import socket,sys,time\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM);s.settimeout(.2)\n"
        "while True:\n"
        "  try: s.sendto(b'x',(sys.argv[1],7002)); s.recv(100); print(time.time(),flush=True)\n"
        "  except OSError: pass\n"
        "  time.sleep(.02)\n"), box.ip4(), log=guest.dir / "live.log")
    said = lambda: (guest.dir / "live.log").read_text().split()
    wait_for("the connection lives", lambda: len(said()) > 5)
    end()
    at = time.time()
    wait_for("the connection is cut", lambda: time.time() - float(said()[-1]) > 3, timeout=30)
    guest.host.end(live)
    return float(said()[-1]) - at


def run(world):
    server = world.server(DNS)
    server.cli("tailnets", "create", "guests")
    box, desk = (join(world, name, "default", "anna") for name in ("box", "desk"))
    gina, gerd = (join(world, name, "guests", name) for name in ("gina", "gerd"))
    for client in (box, gina):
        client.echo("tcp:7001", "udp:7002")
    never("tailnets see each other", lambda: gina.peers().get("box") or box.peers().get("gina"))

    share = server.json("shares", "create", "box", "--to", "guests/gina")
    assert share["state"] == "pending", share
    never("a share that waits lends something", lambda: gina.peers().get("box"))
    server.cli("shares", "accept", share["id"], "--tailnet", "guests")
    gina.wait_peer("box")
    assert gina.peer("box")["DNSName"] == "box.net.example.", gina.peer("box")
    gina.wait_ask("tcp", box.ip4(), 7001)
    gina.wait_ask("tcp", box.ip6(), 7001)
    gina.wait_ask("udp", box.ip4(), 7002)
    wait_for("gina resolves the name", lambda: gina.resolve("box.net.example") == [box.ip4()])

    # Nothing else is to be seen, from neither side, and the box begins nothing.
    assert set(gina.peers()) == {"box", "gerd"}, gina.peers()
    assert set(box.peers()) == {"desk", "gina"}, box.peers()
    assert set(desk.peers()) == {"box"} and set(gerd.peers()) == {"gina"}
    (lent,) = [p for p in gina.netmap()["Peers"] if p["Name"] == "box.net.example."]
    (guest,) = [p for p in box.netmap()["Peers"] if p["Name"].startswith("gina.")]
    assert lent["IsJailed"] and lent.get("Sharer") and not lent.get("Tags"), lent
    assert guest["Hostinfo"].get("ShareeNode") and not guest.get("IsJailed"), guest
    for proto, port in (("tcp", 7001), ("udp", 7002)):
        if box.ask(proto, gina.ip4(), port):
            raise Failure("a lent machine reaches a guest's")

    server.cli("shares", "set", share["id"], "--ports", "7001")
    wait_for("the other port is closed", lambda: not gina.ask("udp", box.ip4(), 7002))
    gina.wait_ask("tcp", box.ip4(), 7001)
    server.cli("shares", "set", share["id"])
    gina.wait_ask("udp", box.ip4(), 7002)

    print(f"cut after {cut(box, gina, lambda: server.cli('shares', 'revoke', share['id'])):.2f} s")
    wait_for("both forget each other", lambda: "box" not in gina.peers() and "gina" not in box.peers())
    assert server.json("shares", "list") == []

    secret = server.json("shares", "invite", "box", "--uses", "1")["secret"]
    server.cli("shares", "join", secret, "--tailnet", "guests", "--user", "gerd")
    gerd.wait_peer("box")
    gerd.wait_ask("tcp", box.ip4(), 7001)
    if server.cli("shares", "join", secret, "--tailnet", "guests", "--user", "gina", check=False).returncode == 0:
        raise Failure("an invitation for one was used twice")
    # From the guest's side, too.
    (share,) = server.json("shares", "list", "--tailnet", "guests")
    server.cli("shares", "revoke", share["id"], "--tailnet", "guests")
    wait_for("gerd has given it back", lambda: "box" not in gerd.peers())
