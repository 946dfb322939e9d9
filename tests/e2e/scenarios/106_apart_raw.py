"""A hostile machine, API key and OAuth client of one tailnet ask for what another has: over the machine's own channel, by
gRPC, by REST v2, at SSH checks and at the relays' question. Each is answered as what there is not.
"""
import json
import pathlib
import re
import secrets
import subprocess
import tempfile
import urllib.parse

from stranger import Stranger
from world import POLICY_IN_DATABASE, Failure, Host

UNKNOWN = "999999"
CHECKED = {
    "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
    "ssh": [{"action": "check", "src": ["autogroup:member"], "dst": ["autogroup:self"], "users": ["root"]}],
}


class Machine:
    """A machine with a key of its own that says what it likes inside its channel."""

    def __init__(self, host, bench, url):
        self.key = "nodekey:" + secrets.token_hex(32)
        self.proc = subprocess.Popen(["ip", "netns", "exec", host.ns, bench, "ask", "--server", url], text=True,
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        host.procs.append(self.proc)

    def ask(self, path, body):
        self.proc.stdin.write(f"{path} {json.dumps(body)}\n")
        self.proc.stdin.flush()
        line = self.proc.stdout.readline()
        if not line:
            raise Failure(f"the channel broke at {path}")
        return json.loads(line)

    def join(self, auth_key, name):
        status, text = self.ask("/machine/register", {"Version": 130, "NodeKey": self.key, "Auth": {"AuthKey": auth_key},
                                                      "Hostinfo": {"OS": "linux", "Hostname": name}})
        if status != 200 or not json.loads(text)["MachineAuthorized"]:
            raise Failure(f"{name} does not join: {status} {text}")
        return self


def channel_calls(own, ids):
    node, key = ids["node"], ids["node_key"]
    base = {"Version": 130, "NodeKey": key}
    past, login = "2020-01-01T00:00:00Z", "?local_user=root&ssh_user=root"
    return [
        ("/machine/map", {**base, "Stream": False, "Hostinfo": {"OS": "linux", "Hostname": "evil"}}),
        ("/machine/map", {**base, "Stream": True, "KeepAlive": True}),
        ("/machine/map", {**base, "OmitPeers": True, "Endpoints": ["1.2.3.4:5"]}),
        ("/machine/register", {**base, "NodeKey": "nodekey:" + secrets.token_hex(32), "OldNodeKey": key, "Expiry": past}),
        ("/machine/id-token", {"CapVersion": 130, "NodeKey": key, "Audience": "x"}),
        ("/machine/set-dns", {**base, "Name": "_acme-challenge.desk.green", "Type": "TXT", "Value": "x"}),
        ("/machine/feature/query", {"NodeKey": key, "Feature": "funnel"}),
        ("/machine/set-device-attr", {**base, "Update": {"custom:x": 1}}),
        ("/machine/update-health", {"NodeKey": key, "Subsys": "x", "Error": "y"}),
        ("/machine/audit-log", {**base, "Action": "DISCONNECT", "Details": "x"}),
        ("/machine/ssh/recording", {"CapVersion": 130, "EventType": 1, "ConnectionID": "x", "SrcNode": node, "NodeKey": key}),
        ("/machine/tka/sync/offer", {**base}),
        ("/machine/whoami", {**base}),
        (f"/machine/ping-response?node={node}&id=1", {}),
        (f"/machine/ssh/action/{node}/to/{node}{login}", {}),
        (f"/machine/ssh/action/{node}/to/{own}{login}", {}),
        (f"/machine/ssh/action/{own}/to/{node}{login}", {}),
        (f"/machine/ssh/action/{node}/to/{own}{login}&check={ids['check']}", {}),
    ]


def field(number, value):
    """Of a protobuf message."""
    def varint(n):
        out = b""
        while n > 127:
            out, n = out + bytes([n & 127 | 128]), n >> 7
        return out + bytes([n])
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value.encode())) + value.encode()


def rpcs(ids):
    node, user, key, api = int(ids["node"]), int(ids["user"]), int(ids["key"]), int(ids["api"])
    check, prefix, name = ids["check"], ids["prefix"], ids["user_name"]
    return [
        ("RenameUser", (1, user), (2, "evil")), ("DeleteUser", (1, user)), ("ListUsers", (1, user)), ("ListUsers", (2, name)),
        ("GetUser", (1, name)), ("CreatePreAuthKey", (1, user)), ("ExpirePreAuthKey", (1, key)), ("DeletePreAuthKey", (1, key)),
        ("ListPreAuthKeys", (1, user)), ("GetNode", (1, node)), ("SetTags", (1, node), (2, "tag:evil")),
        ("SetApprovedRoutes", (1, node)), ("DeleteNode", (1, node)), ("ExpireNode", (1, node)),
        ("RenameNode", (1, node), (2, "evil")), ("ListNodes", (1, name)), ("MoveNode", (1, node), (2, user)),
        ("GetNodeRoutes", (1, node)), ("EnableRoute", (1, node)), ("DisableRoute", (1, node)), ("DeleteRoute", (1, node)),
        ("RegisterNode", (1, name), (2, "hskey-authreq-" + "0" * 24)), ("DebugCreateNode", (1, name), (2, "0" * 24), (3, "x")),
        ("AuthRegister", (1, name), (2, check)), ("AuthApprove", (1, check)), ("AuthReject", (1, check)),
        ("ExpireApiKey", (1, prefix)), ("ExpireApiKey", (2, api)), ("DeleteApiKey", (1, prefix)), ("DeleteApiKey", (2, api)),
    ]


class Caller:
    """A host that asks by REST and gRPC."""

    def __init__(self, world, server):
        self.host, self.server = Host(world, "stranger"), server

    def rest(self, key, calls):
        return Stranger(self.host, self.server).ask(key, calls)

    def grpc(self, key, calls):
        """Calls of (method, field...)."""
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for i, (method, *fields) in enumerate(calls):
                message = b"".join(field(*f) for f in fields)
                (folder / f"{i}.ask").write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
                self.host.run("curl", "-s", "-m", "20", "--http2-prior-knowledge", "-D", folder / f"{i}.head", "-o",
                              folder / f"{i}.body", "-H", "content-type: application/grpc", "-H", "te: trailers", "-H",
                              f"Authorization: Bearer {key}", "--data-binary", f"@{folder / f'{i}.ask'}",
                              f"http://{self.server.host.ip}:50443/headscale.v1.HeadscaleService/{method}")
            return [self.answer(call, folder, i) for i, call in enumerate(calls)]

    @staticmethod
    def answer(call, folder, i):
        head, body = (folder / f"{i}.head").read_text(), folder / f"{i}.body"
        status = re.search(r"(?im)^grpc-status: *(\d+)", head)
        words = re.search(r"(?im)^grpc-message: *(.*?)\r?$", head)
        if not status:
            raise Failure(f"{call} by gRPC: {head!r}")
        text = body.read_bytes().decode("latin-1") if body.exists() else ""
        return int(status.group(1)), (words.group(1) if words else "") + text


def v2_calls(ids):
    v2, node, user, key, name = "/api/v2", ids["node"], ids["user"], ids["key"], ids["tailnet"]
    return [
        ("GET", f"{v2}/device/{node}", None), ("DELETE", f"{v2}/device/{node}", None), ("POST", f"{v2}/device/{node}/expire", None),
        ("POST", f"{v2}/device/{node}/name", '{"name":"evil"}'), ("POST", f"{v2}/device/{node}/authorized", '{"authorized":false}'),
        ("GET", f"{v2}/tailnet/{name}/devices", None), ("GET", f"{v2}/tailnet/{name}/users", None),
        ("GET", f"{v2}/tailnet/{name}/keys", None), ("GET", f"{v2}/tailnet/-/keys/{key}", None),
        ("DELETE", f"{v2}/tailnet/-/keys/{key}", None), ("GET", f"{v2}/users/{user}", None), ("GET", f"{v2}/tailnet/{name}/acl", None),
        ("POST", f"{v2}/tailnet/{name}/acl", "{}"), ("GET", f"{v2}/tailnet/{name}/settings", None),
    ]


def v1_checks(ids):
    check = ids["check"]
    return [("POST", f"/api/v1/ssh/check/{check}/approve", "{}"), ("POST", f"/api/v1/ssh/check/{check}/reject", "{}"),
            ("POST", "/api/v1/auth/approve", json.dumps({"authId": check})),
            ("POST", "/api/v1/auth/reject", json.dumps({"authId": check}))]


def said(answer, ids):
    """An answer without what was asked for, which it may repeat, and what is new each time."""
    status, text = answer
    text = re.sub(r'"(timestamp|requestId|instance)":"[^"]*"', "", text)
    for word in sorted(map(str, ids.values()), key=len, reverse=True):
        for form in (word, urllib.parse.quote(word)):
            text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(form)}(?![0-9A-Za-z])", "*", text)
    return status, re.sub(r"(hskey-authreq|sshcheck)-[0-9A-Za-z_-]+", "AUTH", text)


def alike(what, calls_of, ask_all, ids, nobodys):
    calls = calls_of(ids)
    for real, have, want in zip(calls, ask_all(calls), ask_all(calls_of(nobodys))):
        have, want = said(have, ids), said(want, nobodys)
        if have != want:
            raise Failure(f"{what}, {real}: {have} of another tailnet, {want} of nothing")
        for word in ("green", "desk-of"):
            if word in have[1]:
                raise Failure(f"{what}, {real}: tells of {word!r}: {have[1]}")


def tailnet(server, host, bench, name):
    """The owner's key, an auth key and two machines."""
    server.cli("tailnets", "create", name)
    user = server.json("users", "create", f"only-{name}", "--tailnet", name)["id"]
    key = server.json("preauthkeys", "create", "--user", user, "--reusable", "--tailnet", name)["key"]
    machines = [Machine(host, bench, server.url).join(key, f"{what}-of-{name}") for what in ("desk", "lap")]
    return server.json("apikeys", "create", "--tailnet", name), machines


def state(server, name):
    def of(*argv):
        return server.json(*argv, "--tailnet", name)
    nodes = [{k: n[k] for k in ("id", "name", "givenName", "user", "tags", "expiry")} for n in of("nodes", "list")]
    return nodes, of("users", "list"), of("preauthkeys", "list"), server.json("tailnets", "show", name)


def run(world):
    server = world.server(POLICY_IN_DATABASE + "grpc_listen_addr: 0.0.0.0:50443\ngrpc_allow_insecure: true\n")
    bench = world.hatsize.parent / "hatsize-bench"
    caller = Caller(world, server)
    _, (desk, lap) = tailnet(server, caller.host, bench, "green")
    blue_key, (evil, _) = tailnet(server, caller.host, bench, "blue")
    for name in ("green", "blue"):
        path = server.dir / "policy.hujson"
        path.write_text(json.dumps(CHECKED))
        server.cli("policy", "set", "-f", path, "--tailnet", name)

    def of(name, *argv):
        return server.json(*argv, "--tailnet", name)
    nodes = {n["givenName"]: n["id"] for name in ("green", "blue") for n in of(name, "nodes", "list")}
    # A log-in in green that waits for somebody.
    action = f"/machine/ssh/action/{nodes['lap-of-green']}/to/{nodes['desk-of-green']}?local_user=root&ssh_user=root"
    status, text = desk.ask(action, {})
    check = re.search(r"check=(sshcheck-[0-9a-f]+)", text)
    if status != 200 or not check:
        raise Failure(f"no check in green: {status} {text}")
    api = of("green", "apikeys", "list")[0]
    ids = {"node": nodes["desk-of-green"], "node_key": desk.key, "user": of("green", "users", "list")[0]["id"],
           "user_name": "only-green", "key": of("green", "preauthkeys", "list")[0]["id"], "api": api["id"],
           "prefix": api["prefix"].split("-")[2], "check": check.group(1), "tailnet": "green"}
    nobodys = {**dict.fromkeys(ids, UNKNOWN), "node_key": "nodekey:" + secrets.token_hex(32), "prefix": "0123456789ab",
               "user_name": "only-nobody", "tailnet": "nowhere", "check": ids["check"][:-6] + "".join(
                   "a" if c != "a" else "b" for c in ids["check"][-6:])}
    before = state(server, "green")

    own = nodes["desk-of-blue"]
    alike("the channel", lambda of: channel_calls(own, of), lambda calls: [evil.ask(*call) for call in calls], ids, nobodys)
    alike("gRPC", rpcs, lambda calls: caller.grpc(blue_key, calls), ids, nobodys)
    alike("checks", v1_checks, lambda calls: caller.rest(blue_key, calls), ids, nobodys)
    client = of("blue", "oauth-clients", "create", "-s", "all", "-t", "tag:blue")
    token = json.loads(caller.host.run("curl", "-s", "-m", "20", "--data-urlencode", f"client_secret={client['key']}",
                                       f"{server.url}/api/v2/oauth/token").stdout)["access_token"]
    alike("an OAuth client", v2_calls, lambda calls: caller.rest(token, calls), ids, nobodys)
    if json.loads(caller.rest(token, [("GET", f"/api/v2/device/{own}", None)])[0][1])["id"] != own:
        raise Failure("the OAuth client does not see its own machine")

    # A node key is taken or not, over the whole server: who shows another machine's is refused, and told no more.
    status, text = evil.ask("/machine/register", {"Version": 130, "NodeKey": desk.key, "Expiry": "2020-01-01T00:00:00Z"})
    if (status, text.strip()) != (401, "node key belongs to another machine"):
        raise Failure(f"a node key of green: {status} {text}")

    # The relays' question, by anybody: yes or no, and nothing about whose.
    answers = caller.rest(None, [("POST", "/verify", json.dumps({"NodePublic": m.key})) for m in (desk, lap, evil)])
    if answers[1:] != answers[:-1]:
        raise Failure(f"the relays' question: {answers}")
    pages = [("GET", path, None) for path in (f"/auth/{ids['check']}", "/metrics", "/health", "/key?v=130")]
    for (_, path, _), (_, text) in zip(pages, caller.rest(None, pages)):
        for word in ("green", "blue"):
            if word in text:
                raise Failure(f"{path} tells of {word!r}: {text[max(0, text.index(word) - 80):][:160]}")
    if state(server, "green") != before:
        raise Failure(f"green changed:\n{before}\n{state(server, 'green')}")
    # And it was there all the time.
    waiting = [c["id"] for c in server.json("ssh", "list", "--tailnet", "green") if c["state"] == "waiting"]
    if waiting != [ids["check"]]:
        raise Failure(f"the check of green: {waiting}")
    if evil.ask("/machine/map", {"Version": 130, "NodeKey": evil.key, "Stream": False})[0] != 200:
        raise Failure("the machine of blue is not served any more")
