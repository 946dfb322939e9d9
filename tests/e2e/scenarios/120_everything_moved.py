"""Everything a server keeps is backed up while it is changed, goes out as one file, and comes in elsewhere: from SQLite to
PostgreSQL and back. Its machines come back as who they were, keys and clients of the API go on, what was refused changed
nothing, and a backup takes back what came after it.
"""
import json
import threading

from postgres import Postgres
from world import POLICY_IN_DATABASE as POLICY, expect, wait_for

NEEDS_POSTGRES = True
# Moves by itself while machines are there.
MOVING = ("nodes", "api_keys", "tailnets", "audit", "counters")


def run(world):
    with Postgres() as pg:
        scenario(world, pg)
        world.the_server.stop()


def fill(server):
    """One at least of all that there is; what of it has to go on working."""
    server.policy({"tagOwners": {"tag:db": ["alice@"]}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
    server.cli("dns", "records", "git.example.com", "100.64.0.3")
    server.cli("webhooks", "create", "https://example.com/hook", "--subscribe", "nodeCreated")
    server.cli("tailnets", "create", "acme")
    server.cli("users", "create", "bob", "--tailnet", "acme")
    server.cli("users", "invite", "--role", "admin")
    client = server.json("oauth-clients", "create", "-s", "devices:core:read", "-d", "monitoring")
    return {"key": server.json("apikeys", "create"), "client": client, "auth": server.auth_key("alice", "--reusable"),
            "tagged": server.tags_key("tag:db")}


def go_on(world, server, has, nodes):
    """Machines, keys and clients of the API, after the move."""
    wait_for("the machines are back", lambda: {n["id"]: n["ipAddresses"] for n in server.nodes() if n["online"]} == nodes, 120)
    host = world.clients[0].host
    ask = lambda *argv: json.loads(host.run("curl", "-s", "--max-time", "20", *argv).stdout)
    users = ask("-H", f"Authorization: Bearer {has['key']}", f"{server.url}/api/v1/user")["users"]
    expect("the API key", [u["name"] for u in users] == ["alice", "afterwards"], users)
    token = ask("-d", f"client_id={has['client']['id']}&client_secret={has['client']['key']}", f"{server.url}/api/v2/oauth/token")
    devices = ask("-H", f"Authorization: Bearer {token['access_token']}", f"{server.url}/api/v2/tailnet/-/devices")["devices"]
    expect("the OAuth client", len(devices) == len(nodes), devices)
    world.clients[0].wait_ping(world.clients[1].ip4())


def scenario(world, pg):
    server = world.server(POLICY)
    alice, bob = world.client("one"), world.client("two")
    has = fill(server)
    nodes = {n["id"]: n["ipAddresses"] for n in server.nodes()}

    # A backup in the middle of changes is one moment's, whole.
    made, stop = [], threading.Event()

    def change():
        while not stop.is_set():
            made.append(server.json("preauthkeys", "create", "--user", "1")["id"])

    writer = threading.Thread(target=change)
    writer.start()
    backup = world.dir / "backup"
    try:
        wait_for("some changes", lambda: len(made) > 3)
        known = len(made)
        server.cli("backup", backup)
    finally:
        stop.set()
        writer.join()
    server.cli("users", "create", "afterwards")

    # Files that are none, and files under a server that runs, change nothing.
    text = server.cli("export").stdout
    file = world.dir / "all.json"
    file.write_text(text)
    (world.dir / "cut.json").write_text(text[: len(text) // 2])
    (world.dir / "other.json").write_text(text.replace('"hatsize_export"', '"something_else"', 1))
    running = server.cli("import", "--force", file, check=False)
    expect("an import under a running server", running.returncode == 1 and "another hatsize process" in running.stderr, running.stderr)
    before = server.tables(*MOVING)
    server.stop()
    for bad in ("cut.json", "other.json", "nothing.json"):
        done = server.cli("import", "--force", world.dir / bad, check=False)
        expect(f"an import of {bad}", done.returncode == 1 and bad in done.stderr, done.stderr)

    # To PostgreSQL, where all of it is as it was.
    server.configure(POLICY + pg.config())
    server.cli("import", "--force", file)
    server.start()
    go_on(world, server, has, nodes)
    now = server.tables(*MOVING)
    expect("the same tables", now == before, *(f"{name}: {before.get(name)} {now.get(name)}" for name in {*before, *now}
                                               if before.get(name) != now.get(name)))
    three = world.client("three", up=False)
    three.up(has["tagged"])
    nodes = {n["id"]: n["ipAddresses"] for n in server.nodes()}
    expect("a machine with tags", server.node("three")["tags"] == ["tag:db"])

    # And back to SQLite, with what came meanwhile.
    file.write_text(server.cli("export").stdout)
    server.stop()
    server.configure(POLICY)
    server.cli("import", "--force", file)
    server.start()
    go_on(world, server, has, nodes)

    # The backup: neither the user nor the machine that came later, and the keys up to its moment.
    server.stop()
    server.cli("restore", "--force", backup)
    server.start()
    wait_for("the first two are back", lambda: {n["givenName"] for n in server.nodes() if n["online"]} == {"one", "two"}, 120)
    expect("nobody who came later", [u["name"] for u in server.json("users", "list")] == ["alice"]
           and {n["givenName"] for n in server.nodes()} == {"one", "two"}, server.nodes())
    keys = {k["id"] for k in server.json("preauthkeys", "list")}
    expect("keys that were confirmed before it", set(made[:known]) <= keys, made, keys)
    alice.wait_ping(bob.ip4())
