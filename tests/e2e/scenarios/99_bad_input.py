"""What is wrong is refused where it comes in, in words, and nothing is half done: configuration, flags, JSON, names,
tokens, log-in codes. (A full disk: 59; a database that goes away: 58; hostile clients: 16; names on the command line: 45.)"""
import json
import re
import secrets

from world import POLICY_IN_DATABASE, Failure, Host, expect, sh, wait_for

MIB = 1 << 20


def configurations(world):
    """Each with a word of what is wrong, and the line where."""
    folder = world.dir / "wrong"
    folder.mkdir()
    for n, (text, word, line) in enumerate((
            ("server_url: [", "closing bracket", 1),
            ("listen_addr: nonsense\n", "listen_addr", 1), ("database:\n  type: oracle\n", "oracle", 2),
            ("prefixes:\n  v4: 10.0.0.0/40\n", "10.0.0.0/40", 2), ("log:\n  level: loud\n", "loud", 2),
            ("node:\n  expiry: soon\n", "soon", 2),
            ("a: &a [*a]\n", "", 1), ("server_url: \"\x01\"\n", "", 1), (b"server_url: \xff\xfe\n", "", 1),
            ("x: " + "[" * 100000, "", 1), ("server_url: http://" + "x" * MIB + "\n", "longer than", 0))):
        path = folder / f"{n}.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for verb in ("configtest", "serve"):
            done = sh(world.hatsize, verb, "--config", path, "--data-dir", folder / "data", check=False, timeout=60)
            said = done.stderr + done.stdout
            expect(f"{verb} with configuration {n}", done.returncode not in (0, 66) and done.returncode > 0, done.returncode, said)
            expect(f"{verb} with configuration {n} says where", word in said and (f":{line}:" in said or not line), said)
    (folder / "typo.yaml").write_text("server_url: http://a\nserver_urll: x\n")
    done = sh(world.hatsize, "configtest", "--config", folder / "typo.yaml", check=False)
    expect("a key that is none", 'typo.yaml:2:1: "server_urll" is no key' in done.stderr + done.stdout, done.stderr)
    for argv, word in ((["serve", "--config", "/nonexistent/c.yaml"], "/nonexistent/c.yaml"), (["serve", "--bogus"], "--bogus"),
                       (["serve", "--data-dir", "/proc/nothing"], "/proc/nothing"), (["serve", "extra"], "extra"),
                       (["\xff\xfe"], ""), ([""], "")):
        done = sh(world.hatsize, *argv, check=False, timeout=60)
        expect(f"{argv}", done.returncode == 1 and word in done.stderr, done.returncode, done.stderr)


class Api:
    def __init__(self, world, server, key):
        self.world, self.server, self.key = world, server, key
        self.host = Host(world, "stranger")
        self.n = 0

    def ask(self, method, path, body=None, *headers, key=None):
        """Status, type and text of an answer."""
        flags = []
        if body is not None:
            self.n += 1
            file = self.world.dir / f"body{self.n}"
            file.write_bytes(body if isinstance(body, bytes) else body.encode())
            flags = ["--data-binary", f"@{file}"]
        for header in (f"Authorization: Bearer {self.key if key is None else key}", "Content-Type: application/json", *headers):
            flags += ["-H", header]
        text = self.host.run("curl", "-sg", "--max-time", "30", "--path-as-is", "-X", method, "-w", "\n%{content_type}\n%{http_code}",
                             *flags, self.server.url + path).stdout
        text, kind, status = text.rsplit("\n", 2)
        return int(status), kind, text

    def refused(self, what, want, *ask, **how):
        status, kind, text = self.ask(*ask, **how)
        expect(what, status in want, status, text[:300])
        expect(f"{what}: problem+json", kind == "application/problem+json" and {"status", "title"} <= set(json.loads(text)), kind, text[:300])
        expect(f"{what}: nothing of the inside", not any(w in text for w in ("SELECT", "sqlite", "/src/", "/tmp/")), text)


def bodies(api):
    """JSON that is none, or not what a call wants."""
    wrong = []
    long = json.dumps({"name": "x" * MIB})
    for what, want, *ask in (
            ("no JSON", (400, 422), "POST", "/api/v1/user", "{"), ("a body of nothing", (400, 422), "POST", "/api/v1/user", ""),
            ("a list", (400, 422), "POST", "/api/v1/user", "[]"), ("a number for a name", (400, 422), "POST", "/api/v1/user", '{"name": 7}'),
            ("no UTF-8", (400, 422), "POST", "/api/v1/user", b'{"name": "\xff\xfe"}'),
            ("a NUL", (400, 422), "POST", "/api/v1/user", '{"name": "a\\u0000b"}'),
            ("a name of a mebibyte", (400, 413, 422), "POST", "/api/v1/user", long),
            ("nested without end", (400, 422), "POST", "/api/v1/user", "[" * 10000),
            ("a key for nobody", (400, 404, 422), "POST", "/api/v1/preauthkey", '{"user": "999999"}'),
            ("a key with a wrong time", (400, 422), "POST", "/api/v1/preauthkey", '{"user": "1", "expiration": "tomorrow"}'),
            ("a key with a wrong tag", (400, 422), "POST", "/api/v1/preauthkey", '{"aclTags": ["tag:\'; --"]}'),
            ("a node's number too large", (400, 404, 422), "GET", "/api/v1/node/99999999999999999999"),
            ("a node's number negative", (400, 404, 422), "GET", "/api/v1/node/-1"),
            ("a node's number with SQL", (400, 404, 422), "GET", "/api/v1/node/1%20OR%201=1"),
            ("a node's name of 4 KiB", (400, 404, 414, 422), "POST", "/api/v1/node/1/rename/" + "x" * 4096),
            ("routes that are none", (400, 422), "POST", "/api/v1/node/1/approve_routes", '{"routes": ["10.0.0.0/99", "nonsense"]}'),
            ("no such page", (404,), "GET", "/api/v1/nothing"), ("a way up", (400, 404, 422), "GET", "/api/v1/../../etc/passwd"),
            ("a wrong method", (405, 404), "PATCH", "/api/v1/user"),
            ("a policy that is none", (400, 422), "PUT", "/api/v1/policy", json.dumps({"policy": '{"acls": ['}))):
        try:
            api.refused(what, want, *ask)
        except Failure as err:
            wrong.append(str(err))
    expect("bodies", not wrong, "\n".join(wrong))


def sql(server, api):
    """What is SQL elsewhere is a name here: kept as it is, found as it is, and nothing else happens."""
    users = lambda: {u["name"]: u["id"] for u in server.json("users", "list")}
    before = users()
    for name in ("x'; DROP TABLE users; --", 'x" OR ""="', "x%'_\\", "Robert'); DELETE FROM nodes;--"):
        status, _, text = api.ask("POST", "/api/v1/user", json.dumps({"name": name}))
        expect(f"a user {name}", status == 200 and json.loads(text)["user"]["name"] == name, status, text)
        expect("found as it is", [u["name"] for u in server.json("users", "list", "-n", name)] == [name])
        expect("by its name only", server.json("users", "list", "-n", "x%") == [])
        server.cli("users", "destroy", "-n", name, "--force")
    expect("the others are untouched", users() == before, users())


def tokens(server, api):
    """Keys that are wrong, forged, over or gone."""
    ended = server.json("apikeys", "create", "--expiration", "1s")
    number = next(k["id"] for k in server.json("apikeys", "list") if ended.startswith(k["prefix"].rstrip("-*")))
    server.cli("apikeys", "expire", "--id", number)
    gone = server.json("apikeys", "create")
    server.cli("apikeys", "delete", "--prefix", gone[:22])
    half = api.key[: len(api.key) - 64]
    for what, key in (("an expired key", ended), ("a deleted key", gone), ("a forged secret", half + secrets.token_hex(32)),
                      ("a key cut short", api.key[:-1]), ("a key with more", api.key + "0"), ("upper case", api.key.upper()),
                      ("SQL", "' OR 1=1 --"), ("no UTF-8", "\udcff\udcfe"), ("a long one", "x" * 9000), ("none", "")):
        status, _, text = api.ask("GET", "/api/v1/user", key=key)
        expect(what, status in (401, 431, 400) and "alice" not in text and len(text) < 300, status, text)


def machines(world, server):
    """Machines with keys that are wrong, used or over, and one with a name of a mebibyte."""
    once = server.auth_key()
    world.client("first", up=False).up(once)
    over = server.json("preauthkeys", "create", "--user", server.user("alice"), "--reusable")
    server.cli("preauthkeys", "expire", "--id", over["id"])
    bad = world.client("bad", "1.102", up=False)
    for key in (once, over["key"], once[:-1] + ("0" if once[-1] != "0" else "1"), "hskey-auth-000000000000-" + "0" * 64, "'; --"):
        done = bad.ts("up", f"--login-server={server.url}", "--hostname=bad", f"--auth-key={key}", "--timeout=20s", "--reset",
                      "--force-reauth", check=False)
        expect("a machine with a bad key", done.returncode != 0 and "auth" in (done.stdout + done.stderr).lower(), done.stderr)
        expect("it stays out", [n["givenName"] for n in server.nodes()] == ["first"], server.nodes())
    # A log-in is good once: its number, answered, is no more.
    bad.spawn_ts("up", f"--login-server={server.url}", "--hostname=bad", "--timeout=60s", "--reset", "--force-reauth")
    url = wait_for("the machine has its URL", lambda: bad.status().get("AuthURL"))
    number = url.rsplit("/", 1)[1]
    server.cli("auth", "register", "-u", "alice", "--auth-id", number)
    bad.wait_running()
    again = server.cli("auth", "register", "-u", "bob", "--auth-id", number, check=False)
    expect("a log-in twice", again.returncode == 1 and "auth" in again.stderr, again.stderr)
    page = bad.host.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url).stdout
    expect("its page", page in ("200", "404", "410"), page)
    # A long name is cut; one beyond all reason is refused, and the machine stays who it was.
    named = lambda: [n["givenName"] for n in server.nodes() if n["givenName"].startswith("xxxx")]
    bad.ts("set", "--hostname=" + "x" * 1000)
    wait_for("a name that is too long is cut", named, 30)
    expect("to a label of DNS", len(named()[0]) <= 63, named())
    bad.ts("set", "--hostname=" + "y" * 120000)
    wait_for("the log says what is wrong", lambda: re.search(
        r"refused a client's request.*Hostname", server.log.read_text(errors="replace")), 30)
    expect("it keeps its name", named())
    bad.ts("set", "--hostname=\N{SNOWMAN}'; DROP TABLE nodes; --\x07")
    wait_for("a hostile name is made a plain one", lambda: not any(n["givenName"].startswith("xxxx") for n in server.nodes()), 30)
    for n in server.nodes():
        expect("a plain name", all(c.isalnum() or c == "-" for c in n["givenName"]), n["givenName"])
    bad.wait_ping(world.clients[0].ip4())


def run(world):
    configurations(world)
    server = world.server(POLICY_IN_DATABASE)
    for name in ("alice", "bob"):
        server.user(name)
    api = Api(world, server, server.json("apikeys", "create"))
    before = server.cli("users", "list", "-o", "json").stdout
    audit = len(server.json("audit", "list", "--limit", "1000"))
    bodies(api)
    expect("nothing was half done", server.cli("users", "list", "-o", "json").stdout == before)
    expect("nothing was logged as done", len(server.json("audit", "list", "--limit", "1000")) == audit)
    sql(server, api)
    tokens(server, api)
    machines(world, server)
    expect("the server is well", server.cli("health").returncode == 0)
