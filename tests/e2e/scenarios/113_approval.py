"""New machines wait until somebody approves them, and everything of a user who is suspended stops at once: neither sees or
is seen, no relay lets it in. What comes back does so by itself, with the log-in it had."""
import importlib
import pathlib
import sys

from world import Failure, nevers, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parent))
cut = importlib.import_module("110_share").cut

VERIFY = """
import json, sys, urllib.request
ask = urllib.request.Request(sys.argv[1] + "/verify", data=json.dumps({"NodePublic": sys.argv[2]}).encode())
print(json.load(urllib.request.urlopen(ask, timeout=10))["Allow"])
"""


def begins_up(client, key):
    """`tailscale up` stays until the machine is approved."""
    return client.spawn_ts("up", f"--login-server={client.world.the_server.url}", f"--hostname={client.name}",
                           f"--auth-key={key}")


def waits(client):
    wait_for(f"{client.name} waits for approval", lambda: client.state() == "NeedsMachineAuth")
    said = client.ts("status", check=False)
    if "not yet approved" not in said.stdout + said.stderr:
        raise Failure(f"{client.name}: {said.stdout}{said.stderr}")
    status = client.status()
    if status.get("Peer"):
        raise Failure(f"{client.name} waits and sees {list(client.peers())}")
    return status["Self"]["PublicKey"]


def admitted(world, client, key):
    """Whether a relay that asks the server would let it in."""
    return client.host.run("python3", "-c", VERIFY, world.the_server.url, key).stdout.strip() == "True"


def run(world):
    server = world.server()
    server.cli("tailnets", "set", "default", "--device-approval", "on")
    # A key that was given for it lets machines straight in.
    desk = world.client("desk", up=False)
    desk.up(server.auth_key("alice", "--preauthorized"))
    desk.wait_running()
    desk.echo("tcp:7001", "udp:7002")

    # Others wait, old clients and new ones, and are seen by nobody.
    key = server.auth_key("alice", "--reusable")
    box, old = world.client("box", up=False), world.client("old", "1.82", up=False)
    ups = [(client, begins_up(client, key)) for client in (box, old)]
    keys = {client.name: waits(client) for client, _ in ups}
    nevers(*[(f"desk sees {name}", lambda name=name: name in desk.peers()) for name in keys])
    for name, key in keys.items():
        if admitted(world, desk, key):
            raise Failure(f"a relay would let {name} in")
    if not admitted(world, desk, desk.status()["Self"]["PublicKey"]):
        raise Failure("a relay would not let desk in")

    # Approved: what waited goes on, with no other log-in.
    for client, up in ups:
        server.cli("nodes", "approve", "--identifier", server.node(client.name)["id"])
        client.wait_running()
        if up.wait(timeout=30) != 0:
            raise Failure(f"`tailscale up` on {client.name} failed: {(client.dir / 'ts.log').read_text()}")
        client.wait_ask("tcp", desk.ip4(), 7001)
        if client.status()["Self"]["PublicKey"] != keys[client.name]:
            raise Failure(f"{client.name} logged in anew")
        desk.wait_peer(client.name)

    # And taken back, while they talk.
    id = server.node("box")["id"]
    took = cut(desk, box, lambda: server.cli("nodes", "unapprove", "--identifier", id))
    print(f"approval taken back: cut after {took:.2f} s")
    waits(box)
    wait_for("desk does not see box any more", lambda: "box" not in desk.peers())
    old.wait_ask("tcp", desk.ip4(), 7001)
    server.cli("nodes", "approve", "--identifier", id)
    box.wait_ask("tcp", desk.ip4(), 7001)

    # A user, whose machine talks by the server's own relay.
    phone = world.client("phone", up=False)
    phone.host.block_direct()
    phone.up(server.auth_key("bob", "--preauthorized"))
    phone.wait_ask("udp", desk.ip4(), 7002)
    if phone.path_to(desk.ip4()) != "relay":
        raise Failure("phone to desk is not through the relay")
    key = phone.status()["Self"]["PublicKey"]
    took = cut(desk, phone, lambda: server.cli("users", "suspend", "bob", "--force"))
    print(f"user suspended: cut after {took:.2f} s")
    waits(phone)
    wait_for("desk does not see phone any more", lambda: "phone" not in desk.peers())
    if admitted(world, desk, key):
        raise Failure("a relay would let a suspended user's machine in")
    wait_for("the server's relay refuses phone", lambda: "a relay client was refused" in server.log.read_text(errors="replace"))
    box.wait_ask("tcp", desk.ip4(), 7001)
    server.cli("users", "restore", "bob")
    phone.wait_running()
    phone.wait_ask("udp", desk.ip4(), 7002)
    if phone.status()["Self"]["PublicKey"] != key:
        raise Failure("phone logged in anew")

    # Asked for no more, everybody who waits comes in.
    late = world.client("late", up=False)
    up = begins_up(late, server.auth_key("alice"))
    waits(late)
    server.cli("tailnets", "set", "default", "--device-approval", "off")
    late.wait_running()
    if up.wait(timeout=30) != 0:
        raise Failure("`tailscale up` on late failed")
    late.wait_ask("tcp", desk.ip4(), 7001)
