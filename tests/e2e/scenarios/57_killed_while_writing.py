"""The server is killed as by power loss while changes pour in, three times over: what was confirmed is there, with its
entry in the audit log, nothing is half done, and connected machines come back as they were."""
import contextlib
import http.client
import itertools
import json
import signal
import socket
import sqlite3
import threading

from world import POLICY_IN_DATABASE, Failure, wait_for

PEOPLE = {"alice", "bob"}
ROUNDS = 3
ENOUGH = 60  # changes confirmed in a round before the server is killed


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("local", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


class Writers:
    """Threads that change things until the server is gone; they know what was confirmed and what was only asked."""

    def __init__(self, server, alice):
        self.path = str(server.dir / "data" / "hatsize.sock")
        self.alice, self.numbers, self.lock = alice, itertools.count(), threading.Lock()
        self.users, self.users_asked, self.keys, self.policies = set(), set(), {}, [""]
        self.policies_asked, self.done = [], 0

    def ask(self, connection, method, path, body):
        connection.request(method, "/api/v1/" + path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failure(f"{method} {path}: {answer.status} {text[:300]}")
        with self.lock:
            self.done += 1
        return json.loads(text)

    def make_users(self, connection):
        name = f"user{next(self.numbers)}"
        self.users_asked.add(name)
        self.ask(connection, "POST", "user", {"name": name})
        self.users.add(name)

    def make_keys(self, connection):
        key = self.ask(connection, "POST", "preauthkey", {"user": self.alice, "reusable": True})["preAuthKey"]
        self.keys[key["id"]] = key["createdAt"]

    def make_policies(self, connection):
        text = json.dumps({"hosts": {f"h{next(self.numbers)}": "100.64.0.1"},
                           "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
        self.policies_asked.append(text)
        self.ask(connection, "PUT", "policy", {"policy": text})
        self.policies.append(text)

    def work(self, make):
        connection = Local(self.path)
        # The end: the connection breaks, or is refused.
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            while True:
                make(connection)

    def until_killed(self, server):
        self.done = 0
        makers = (self.make_users, self.make_users, self.make_keys, self.make_policies)
        threads = [threading.Thread(target=self.work, args=(make,)) for make in makers]
        for thread in threads:
            thread.start()
        try:
            wait_for("changes are taken", lambda: self.done >= ENOUGH, 120, every=0.002)
        finally:
            server.stop(signal.SIGKILL)
            for thread in threads:
                thread.join(60)


def check(server, writers):
    present = {user["name"] for user in server.json("users", "list")} - PEOPLE
    if not writers.users <= present <= writers.users_asked:
        raise Failure(f"lost {writers.users - present}, of nobody's making {present - writers.users_asked}")
    keys = {key["id"]: key["createdAt"] for key in server.json("preauthkeys", "list")}
    if any(keys.get(key) != made for key, made in writers.keys.items()):
        raise Failure("an auth key was lost, or is another one")
    policy = server.cli("policy", "get").stdout.strip()
    if policy not in (writers.policies[-1], writers.policies_asked[-1]):
        raise Failure(f"the policy is neither the last confirmed nor the last asked for: {policy[:200]}")
    entries = server.json("audit", "list", "--limit", "1000")
    logged = {e["objectName"] for e in entries if e["action"] == "user.create"} - PEOPLE
    if logged - present or (len(entries) < 1000 and present - logged):
        raise Failure(f"the audit log has {logged - present} too much, {present - logged} too little")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    a, b = world.client("a"), world.client("b", user="bob")
    a.wait_ping(b.ip4())
    before = {c.name: (c.ip4(), c.ip6(), server.node(c.name)["id"], server.node(c.name)["nodeKey"]) for c in (a, b)}
    writers = Writers(server, server.user("alice"))
    for n in range(ROUNDS):
        writers.until_killed(server)
        # The file itself is whole, before the server mends anything.
        with contextlib.closing(sqlite3.connect(server.dir / "data" / "db.sqlite")) as database:
            told = database.execute("PRAGMA integrity_check").fetchall()
            broken = database.execute("PRAGMA foreign_key_check").fetchall()
            if told != [("ok",)] or broken:
                raise Failure(f"round {n}: the database: {told[:3]} {broken[:3]}")
        server.start()
        check(server, writers)
        # headscale.md 11 #122
        wait_for("both are back", lambda: len([x for x in server.nodes() if x["online"]]) == 2, 60)
        for c in (a, b):
            node = server.node(c.name)
            if (c.ip4(), c.ip6(), node["id"], node["nodeKey"]) != before[c.name]:
                raise Failure(f"{c.name} is another one: {before[c.name]} {node}")
        a.wait_ping(b.ip4())
    for word in ("panic", "AddressSanitizer", "ThreadSanitizer", "runtime error", "ASSERT"):
        if word in server.log.read_text(errors="replace"):
            raise Failure(f"the log has {word!r}")
    print(f"     {len(writers.users)} users, {len(writers.keys)} keys, {len(writers.policies) - 1} policies confirmed")
    c = world.client("c")
    a.wait_ping(c.ip4())
