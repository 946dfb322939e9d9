"""Two real clients of a real headscale, whose database is turned into what older releases would have left (0.22 with
bare keys and a table of machines, 0.25 with a table of routes, 0.27 with forced tags), each imported in turn: the
clients come back with keys, addresses and numbers as before. Shows headscale.md 11 #39 and #122 likewise."""
import contextlib
import importlib.util
import json
import pathlib
import sqlite3

from world import Failure, wait_for

NEEDS_HEADSCALE = True

spec = importlib.util.spec_from_file_location("replaced", pathlib.Path(__file__).with_name("55_headscale_replaced.py"))
replaced = importlib.util.module_from_spec(spec)
spec.loader.exec_module(replaced)

STAMPS = "created_at datetime, updated_at datetime, deleted_at datetime"
USERS = f"CREATE TABLE users (id integer PRIMARY KEY AUTOINCREMENT, {STAMPS}, name text UNIQUE)"
KEYS = ("CREATE TABLE pre_auth_keys (id integer PRIMARY KEY AUTOINCREMENT, key text, user_id integer, reusable numeric, "
        "ephemeral numeric, used numeric, created_at datetime, expiration datetime)")
ROUTES = (f"CREATE TABLE routes (id integer PRIMARY KEY AUTOINCREMENT, {STAMPS}, OWNER integer, prefix text, advertised "
          "numeric, enabled numeric, is_primary numeric)")
NODE = ("id integer PRIMARY KEY AUTOINCREMENT, machine_key text, node_key text, disco_key text, hostname text, given_name "
        "text, user_id integer, register_method text, forced_tags text, auth_key_id integer, last_seen datetime, expiry "
        f"datetime, host_info text, endpoints text, {STAMPS}")
OLD_KEY = "0f" * 24  # in clear, as all were up to 0.27


def read(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return {table: [dict(row) for row in db.execute(f"SELECT * FROM {table}")] for table in ("users", "nodes")}


def bare(key):
    return key.split(":", 1)[1]


def write(path, release, was):
    path.unlink()
    db = sqlite3.connect(path)
    old = release == "0.22"
    db.execute(USERS if release < "0.24" else USERS.replace(
        "name text UNIQUE", "name text, display_name text, email text, provider_identifier text, provider text"))
    db.execute(KEYS)
    if old:
        db.execute(f"CREATE TABLE machines ({NODE}, ip_addresses text)")
    else:
        db.execute(f"CREATE TABLE nodes ({NODE}, ipv4 text, ipv6 text" + (", approved_routes text)" if release == "0.27" else ")"))
    if release < "0.26":
        db.execute(ROUTES.replace("OWNER", "machine_id" if old else "node_id"))
    for user in was["users"]:
        db.execute("INSERT INTO users (id, created_at, name) VALUES (?, ?, ?)", (user["id"], user["created_at"], user["name"]))
    db.execute("INSERT INTO pre_auth_keys VALUES (1, ?, ?, 1, 0, 0, '2024-01-01 00:00:00Z', NULL)",
               (OLD_KEY, was["users"][0]["id"]))
    for node in was["nodes"]:
        row = {name: node[name] for name in ("id", "hostname", "given_name", "user_id", "register_method", "last_seen",
                                             "expiry", "host_info", "endpoints", "created_at")}
        row["auth_key_id"], row["forced_tags"] = (0, "[]") if old else (None, None)
        for kind in ("machine_key", "node_key", "disco_key"):
            row[kind] = bare(node[kind]) if old else node[kind]
        if old:
            row["ip_addresses"] = f"{node['ipv4']},{node['ipv6']}"
        else:
            row |= {"ipv4": node["ipv4"], "ipv6": node["ipv6"]}
        if release == "0.27":
            row["approved_routes"] = '["10.9.0.0/16"]'
        else:
            db.execute(f"INSERT INTO routes ({'machine_id' if old else 'node_id'}, prefix, advertised, enabled) "
                       "VALUES (?, '10.9.0.0/16', 1, 1)", (node["id"],))
        db.execute(f"INSERT INTO {'machines' if old else 'nodes'} ({', '.join(row)}) "
                   f"VALUES ({', '.join('?' * len(row))})", tuple(row.values()))
    db.commit()
    db.close()


def run(world):
    server = world.server(start=False)
    server.configure(replaced.CONFIG.format(dir=server.dir).replace("mode: database", "mode: file"))
    old = replaced.Headscale(world, server)
    old.start()
    user = str(old.json("users", "create", "alice")["id"])
    key = old.json("preauthkeys", "create", "--user", user, "--reusable", "-e", "24h")["key"]
    one, two = world.client("one", up=False), world.client("two", up=False)
    for client in (one, two):
        client.up(key)
        client.wait_running()
    one.wait_peer("two")
    before = {client.name: replaced.facts(client) for client in (one, two)}
    old.stop()
    database, ours = server.dir / "db.sqlite", server.dir / "hatsize.sqlite"
    was = read(database)
    for release, said in (("0.22", "0.17 to 0.22"), ("0.25", "0.24 or 0.25"), ("0.27", "0.26 or 0.27")):
        write(database, release, was)
        ours.unlink(missing_ok=True)
        report = json.loads(server.cli("import", "headscale", "-o", "json").stdout)
        if report["counts"]["nodes"]["taken"] != 2 or report["approvedRoutes"] != 2:
            raise Failure(f"{release}: {report}")
        if report["release"] != said:
            raise Failure(f"{release} was taken for {report['release']}")
        server.start()
        wait_for(f"{release}: both are back", lambda: [n["online"] for n in server.nodes()] == [True, True], 90)
        for client in (one, two):
            client.wait_running()
            if replaced.facts(client) != before[client.name]:
                raise Failure(f"{release}: {client.name} was {before[client.name]} and is {replaced.facts(client)}")
        one.wait_ping(two.ip4())
        if release == "0.27":
            world.client("third", up=False).up(OLD_KEY).wait_peer("one")
        server.stop()
    server.start()
