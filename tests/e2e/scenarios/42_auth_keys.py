"""What auth keys are good for with real machines, and what of it stands in the audit log.

headscale.md 11 #27.
"""
import datetime
import itertools
import json

from world import Failure, wait_for


def same(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def listed(server):
    return {key["id"]: key for key in server.json("preauthkeys", "list")}


def made(server, user, *flags):
    return server.json("preauthkeys", "create", "--user", server.user(user), *flags)


def lasts(key):
    """In seconds."""
    created, expires = [datetime.datetime.fromisoformat(key[m].replace("Z", "+00:00")) for m in ("createdAt", "expiration")]
    return (expires - created).total_seconds()


def refused(client, key, word):
    """A log-in with the key ends with the server's word for it."""
    done = client.ts("up", f"--login-server={client.world.the_server.url}", f"--auth-key={key}", "--timeout=20s",
                     f"--hostname={client.name}", check=False, timeout=40)
    if done.returncode == 0 or word not in done.stdout + done.stderr:
        raise Failure(f"{client.name} with a bad key: {done.returncode} {done.stdout}{done.stderr}")


def log_out(server, client):
    client.log_out()
    wait_for(f"{client.name} is logged out", lambda: client.state() == "NeedsLogin")


def audit(server):
    """Newest first."""
    done = server.host.run("curl", "-s", "-H", f"Authorization: Bearer {server.api_key}",
                           f"{server.url}/api/v1/audit?limit=200")
    return json.loads(done.stdout)["entries"]


def run(world):
    server = world.server()
    server.api_key = server.cli("apikeys", "create").stdout.strip()
    once, many = made(server, "alice"), made(server, "alice", "--reusable", "-e", "24h")
    short = made(server, "alice", "--reusable", "--ephemeral")
    # headscale.md 11 #29
    same("flags", [(k["reusable"], k["ephemeral"], k["used"]) for k in (once, many, short)],
         [(False, False, False), (True, False, False), (True, True, False)])
    # An hour, unless said otherwise: headscale.md 11 #28.
    for key, seconds in ((once, 3600), (many, 86400), (listed(server)[once["id"]], 3600)):
        if abs(lasts(key) - seconds) > 1:
            raise Failure(f"good for {lasts(key)} s, not {seconds}: {key}")

    # One machine gets in by a key for one; a second does not.
    alice = world.client("alice", up=False).up(once["key"])
    alice.wait_running()
    was = server.node("alice")
    other = world.client("other", up=False)
    refused(other, once["key"], "authkey already used")
    same("used", {i: k["used"] for i, k in listed(server).items()}, {once["id"]: True, many["id"]: False, short["id"]: False})

    # The same person again: the same machine, another node key. headscale.md 11 #21
    log_out(server, alice)
    alice.up(many["key"])
    now = server.node("alice")
    same("after logging in again", [now["id"], now["ipAddresses"], len(server.nodes())],
         [was["id"], was["ipAddresses"], 1])
    if now["nodeKey"] == was["nodeKey"]:
        raise Failure("the node key is the old one")

    # Its key deleted: the machine starts again all the same. headscale.md 11 #24
    server.cli("preauthkeys", "delete", "--id", many["id"])
    same("keys", sorted(listed(server)), sorted([once["id"], short["id"]]))
    alice.stop()
    alice.start()
    alice.wait_running()

    # Expired: nobody gets in, the other keys are as they were. headscale.md 11 #23
    server.cli("preauthkeys", "expire", "--id", short["id"])
    log_out(server, alice)
    refused(alice, short["key"], "authkey expired")
    same("state", alice.state(), "NeedsLogin")

    # Another person's key: a second node, the first stays. headscale.md 11 #22
    alice.up(made(server, "bob")["key"])
    same("nodes", sorted(n["user"]["name"] for n in server.nodes()), ["alice", "bob"])

    # All of it can be read: who, from where, and no secret.
    entries = audit(server)
    # Clients may register twice in a row, with two node keys.
    machine = [what for what, _ in itertools.groupby(e["action"] for e in reversed(entries) if e["origin"] == "client")]
    same("what the machine did", machine,
         ["node.register", "node.logout", "node.login", "node.logout", "node.register"])
    same("where from", {e["from"] for e in entries if e["origin"] == "client"}, {str(alice.host.ip)})
    deleted = [e for e in entries if e["action"] == "auth_key.delete"]
    same("deletion", [(e["objectId"], e["author"], e["after"]) for e in deleted], [(many["id"], "socket", None)])
    for key in (once, many, short):
        if key["key"].rsplit("-", 1)[1] in json.dumps(entries):
            raise Failure("a key's secret is in the audit log")

    # Another person's key with tags: a second node that is nobody's, the first stays. headscale.md 11 #30
    carol = world.client("carol", up=False).up(made(server, "carol")["key"])
    was = server.node("carol")
    log_out(server, carol)
    carol.up(made(server, "bob", "--tags", "tag:server")["key"])
    carol.wait_running()
    mine = {n["id"]: n for n in server.nodes() if n["machineKey"] == was["machineKey"]}
    same("the first", (mine[was["id"]]["user"]["name"], mine[was["id"]]["tags"]), ("carol", []))
    second = mine.pop(max(mine, key=int))
    same("the second", (second["user"]["name"], second["user"]["id"], second["tags"]),
         ("tagged-devices", "2147455555", ["tag:server"]))
    same("the others", sorted(mine), [was["id"]])
    same("who it is", carol.status()["Self"].get("Tags"), ["tag:server"])
    if set(second["ipAddresses"]) & set(was["ipAddresses"]):
        raise Failure("both have the same addresses")
