"""Policies, tags and users change while clients are connected: each takes hold whole, and nobody has to call again."""
import json
import re

from reach import Crowd
from world import POLICY_IN_DATABASE, Failure, Host, Server, never, wait_for

LAN = "10.88.0"


def rules(*rows, **more):
    return {"tagOwners": {"tag:web": ["alice@"], "tag:db": ["alice@"]},
            "acls": [{"action": "accept", "src": src.split(), "dst": dst.split()}
                     for src, dst in (row.split(" > ") for row in rows)], **more}


# Four policies, with who sees whom and who has a page of whom.
CYCLE = (
    (("* > *:*",), {"a": "b t", "b": "a t", "t": "a b"}, {"a": "b t", "b": "a t", "t": "a b"}),
    (("alice@ > bob@:80",), {"a": "b", "b": "a"}, {"a": "b"}),
    ((), {}, {}),
    (("bob@ > tag:web:80", "tag:web > alice@:80"), {"a": "t", "b": "t", "t": "a b"}, {"b": "t", "t": "a"}),
)


def streams(server):
    """How many map streams were ever opened."""
    socket = server.dir / "data" / "hatsize.sock"
    text = server.host.run("curl", "-s", "--unix-socket", socket, "http://x/metrics").stdout
    return int(re.search(r"^hatsize_map_streams_opened_total (\d+)$", text, re.M).group(1))


def cycle(server, crowd, turn, whole):
    for n, (rows, seen, reached) in enumerate(CYCLE):
        server.policy(rules(*rows))
        crowd.becomes(f"turn {turn}, policy {n}: who sees whom", crowd.seen, **seen)
        if whole:
            crowd.becomes(f"turn {turn}, policy {n}: who has a page", lambda: crowd.reached(timeout=0.7), **reached)


def cycles(server, crowd):
    for turn in range(5):  # headscale.md 11 #70
        cycle(server, crowd, turn, turn in (0, 4))
    # A client may call again for a change of its own interfaces; for a policy none does.
    for turn in range(5, 8):  # headscale.md 11 #67
        opened = streams(server)
        cycle(server, crowd, turn, False)
        if streams(server) == opened:
            return
    raise Failure("clients call again for each policy")


def tags(server, crowd, t):
    """headscale.md 11 #71"""
    server.policy(rules("alice@ > tag:web:80", "alice@ > tag:db:81", "bob@ > tag:db:80"))
    crowd.becomes("web: seen", crowd.seen, a="t", t="a")
    crowd.becomes("web: port 80", crowd.reached, a="t")
    for tags, seen, reached80, reached81 in (("tag:db", {"a": "t", "b": "t", "t": "a b"}, {"b": "t"}, {"a": "t"}),
                                             ("tag:web,tag:db", {"a": "t", "b": "t", "t": "a b"}, {"a": "t", "b": "t"}, {"a": "t"}),
                                             ("tag:web", {"a": "t", "t": "a"}, {"a": "t"}, {})):
        server.cli("nodes", "tag", "-i", server.node("t")["id"], "-t", tags)
        crowd.becomes(f"{tags}: seen", crowd.seen, **seen)
        crowd.becomes(f"{tags}: port 80", crowd.reached, **reached80)
        crowd.becomes(f"{tags}: port 81", lambda: crowd.reached(81), **reached81)


def people(server, crowd):
    """Users that are not there, and some who go."""
    group = lambda *names: rules("group:x > tag:web:80", groups={"group:x": [f"{name}@" for name in names]})
    server.policy(group("alice", "ghost"))  # headscale.md 11 #72
    crowd.becomes("a group with a ghost: seen", crowd.seen, a="t", t="a")
    crowd.becomes("a group with a ghost", crowd.reached, a="t")
    for names in (("alice",), ("alice", "nobody", "noone"), ("nobody", "alice"), ("alice",)):  # headscale.md 11 #74
        server.policy(group(*names))
        crowd.becomes(f"a group of {names}", crowd.seen, a="t", t="a")
        if crowd.reached()["a"] != "t":
            raise Failure(f"a lost its way with a group of {names}")
    server.user("dora")
    server.policy(group("alice", "dora"))
    server.cli("users", "destroy", "-n", "dora", "--force")  # headscale.md 11 #73
    crowd.becomes("dora is gone", crowd.reached, a="t")
    server.user("emil")
    crowd.becomes("emil is new", crowd.reached, a="t")
    server.policy(group("alice", "emil", "bob"))
    crowd.becomes("bob as well", crowd.reached, a="t", b="t")


def judged(server, where):
    """`policy check` and `policy set`, by content."""
    base = rules("alice@ > bob@:80", ssh=[{"action": "accept", "src": ["alice@"], "dst": ["tag:web"], "users": ["root"]}])
    good = {"tests": [{"src": "alice@", "accept": ["bob@:80"], "deny": ["bob@:22"]}],
            "sshTests": [{"src": "alice@", "dst": ["tag:web"], "accept": ["root"], "deny": ["nobody"]}]}
    path = server.dir / "judged.hujson"
    for word, change in (("", {}), ("test(s) failed", {"tests": [{"src": "bob@", "accept": ["alice@:80"]}]}),
                         ("test(s) failed", {"sshTests": [{"src": "bob@", "dst": ["tag:web"], "accept": ["root"]}]}),
                         ("test(s) failed", {"sshTests": [{"src": "alice@", "dst": ["tag:web"], "check": ["root"]}]}),
                         ("unknown", {"aclz": []})):
        path.write_text(json.dumps({**base, **good, **change}))
        verbs = ("check",) if where == "file" else ("check", "set")
        before = server.cli("policy", "get").stdout
        for verb in verbs:  # headscale.md 11 #75, #76, #77
            done = server.cli("policy", verb, "-f", path, check=False)
            if (done.returncode != 0) != bool(word) or word not in done.stderr:
                raise Failure(f"policy {verb} with {change}, {where}: {done.returncode} {done.stdout}{done.stderr}")
        kept = server.cli("policy", "get").stdout
        if kept != (path.read_text() if verbs[-1] == "set" and not word else before):
            raise Failure(f"after policy {verbs[-1]} with {change}: {kept}")


def subnet(world, server, a, b):
    """headscale.md 11 #78"""
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.echo("tcp:80", "tcp:81")
    router = world.router("r", (lan, LAN), version="1.90")
    router.up(server.auth_key("carol"), f"--advertise-routes={LAN}.0/24")
    server.policy(rules(f"alice@ > {LAN}.0/24:80", "bob@ > carol@:80"))
    server.cli("nodes", "approve-routes", "-i", server.node("r")["id"], "-r", f"{LAN}.0/24")
    for c in (a, b):
        c.ts("set", "--accept-routes")
    routes = lambda c: (c.peers().get("r") or {}).get("PrimaryRoutes") or []
    wait_for("a has the route", lambda: routes(a) == [f"{LAN}.0/24"])
    a.wait_ask("tcp", inside.ip, 80)
    wait_for("b sees the router", lambda: "r" in b.peers())
    never("b has the route", lambda: routes(b) or any(
        ip.startswith(LAN) for ip in b.peer("r").get("AllowedIPs") or []))
    never("b reaches what is behind it", lambda: b.ask("tcp", inside.ip, 80, 1))
    never("a reaches another port behind it", lambda: a.ask("tcp", inside.ip, 81, 1))
    server.policy(rules(f"bob@ > {LAN}.0/24:81"))
    wait_for("b has the route now", lambda: routes(b) == [f"{LAN}.0/24"])
    b.wait_ask("tcp", inside.ip, 81)
    wait_for("a has not", lambda: not routes(a))
    never("a still reaches what is behind it", lambda: a.ask("tcp", inside.ip, 80, 1))


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(rules())
    a, b = world.client("a", "1.82"), world.client("b", "1.102", user="bob")
    t = world.client("t", "1.90", up=False).up(server.tags_key("tag:web"))
    crowd = Crowd(a, b, t, ports=(80, 81))
    cycles(server, crowd)
    tags(server, crowd, t)
    people(server, crowd)
    judged(server, "database")
    subnet(world, server, a, b)
    (world.dir / "acl.hujson").write_text(json.dumps(rules()))
    filed = Server(world, f"policy:\n  mode: file\n  path: {world.dir}/acl.hujson\n", name="filed")
    for n, user in enumerate(("alice", "bob", "alice")):
        filed.user(user)
        filed.cli("debug", "create-node", "--name", f"n{n}", "-u", user, "-k", f"hskey-authreq-{n:024x}")
        filed.cli("auth", "register", "-u", user, "--auth-id", f"hskey-authreq-{n:024x}")
    filed.cli("nodes", "tag", "-i", filed.node("n2")["id"], "-t", "tag:web")
    judged(filed, "file")
    filed.stop()
