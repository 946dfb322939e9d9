"""What headscale-ui, headplane and headscale-admin send, from another machine, while real clients watch.

The calls are those of their releases for headscale 0.25 to 0.30, spelled as they spell them: JSON under any content
type, ids as numbers or text, keys by their text. headscale.md 11 #92 by REST, #111.
"""
import json

from world import POLICY_IN_DATABASE, Failure, Host, wait_for


class Console:
    """A page with a key: only what a browser would send."""

    def __init__(self, host, server, key):
        self.host, self.url = host, server.url
        self.headers = [f"Authorization: Bearer {key}", "Accept: application/json"]

    def ask(self, method, path, body=None, want=200):
        flags = [word for header in self.headers for word in ("-H", header)]
        if body is not None:
            flags += ["-H", "Content-Type: text/plain;charset=UTF-8", "--data-binary", json.dumps(body)]
        text = self.host.run("curl", "-s", "--max-time", "20", "-X", method, "-w", "\n%{http_code}", *flags,
                             f"{self.url}{path}").stdout
        text, status = text.rsplit("\n", 1)
        if int(status) != want:
            raise Failure(f"{method} {path}: {status}, not {want}: {text[:500]}")
        answer = json.loads(text) if text.startswith("{") else text
        if want == 200 and "code" in answer:
            raise Failure(f"{method} {path}: consoles take a member `code` for a failure")
        return answer


def same(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    alice, bob = world.client("alice", flags=("--advertise-routes=10.9.0.0/24",)), world.client("bob")
    alice.wait_peer("bob")
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    ui = Console(laptop, server, key)

    # Logging in: each finds its own key by what it begins with, and wants a time to come.
    mine = [k for k in ui.ask("GET", "/api/v1/apikey")["apiKeys"] if key.startswith(k["prefix"])]
    same("keys that are this one", len(mine), 1)
    if not mine[0]["expiration"] or mine[0]["lastSeen"] == "":
        raise Failure(f"no expiration: {mine[0]}")
    stranger = Console(laptop, server, key[:-1] + "x")
    same("who is not let in", stranger.ask("GET", "/api/v1/apikey", want=401), "Unauthorized")
    same("the release", ui.ask("GET", "/version")["version"].split("-")[0], "v0.30.0")

    # Lists.
    nodes = {n["givenName"]: n for n in ui.ask("GET", "/api/v1/node")["nodes"]}
    for n in nodes.values():
        if not n["user"]["id"] or [n[m] for m in ("validTags", "invalidTags")] != [[], []]:
            raise Failure(f"a console would stumble over {n}")
    users = {u["name"]: u for u in ui.ask("GET", "/api/v1/user")["users"]}
    a, b = nodes["alice"]["id"], nodes["bob"]["id"]

    # Machines.
    ui.ask("POST", f"/api/v1/node/{b}/rename/robert")
    wait_for("alice sees the new name", lambda: "robert" in alice.peers(), timeout=10)
    same("routes announced", nodes["alice"]["availableRoutes"], ["10.9.0.0/24"])
    node = ui.ask("POST", f"/api/v1/node/{a}/approve_routes", {"routes": ["10.9.0.0/24"]})["node"]
    same("routes served", node["subnetRoutes"], ["10.9.0.0/24"])
    ui.ask("POST", f"/api/v1/node/{a}/approve_routes", {"routes": []})
    ui.ask("PUT", "/api/v1/policy", {"policy": json.dumps({
        "tagOwners": {"tag:web": ["alice@"]},
        "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"], "#ha-meta": {"name": "all", "open": True}}]})})
    if "#ha-meta" not in ui.ask("GET", "/api/v1/policy")["policy"]:
        raise Failure("the policy lost what its author wrote")
    for text in ("{", '{"acls": [{"action": "drop"}]}'):
        message = ui.ask("PUT", "/api/v1/policy", {"policy": text}, want=400)["message"]
        if "parsing HuJSON:" not in message and "parsing policy from bytes:" not in message:
            raise Failure(f"a console would not show {message!r}")
    node = ui.ask("POST", f"/api/v1/node/{b}/tags", {"tags": ["tag:web"]})["node"]
    same("a tagged node's user", node["user"]["name"], "tagged-devices")
    wait_for("bob knows his tag", lambda: bob.status()["Self"].get("Tags") == ["tag:web"], timeout=10)
    ui.ask("POST", f"/api/v1/node/{b}/tags", {"tags": []}, want=400)
    ui.ask("POST", "/api/v1/user", {"name": "carol"})
    node = ui.ask("POST", f"/api/v1/node/{a}/user", {"user": "carol"})["node"]
    same("the new owner", node["user"]["name"], "carol")
    node = ui.ask("POST", f"/api/v1/node/{a}/user", {"user": int(users["alice"]["id"])})["node"]
    same("the owner again", node["user"]["name"], "alice")

    # Expiry: in time, never, now.
    node = ui.ask("POST", f"/api/v1/node/{a}/expire", {"expiry": "2099-01-01T00:00:00Z"})["node"]
    same("expiry", node["expiry"], "2099-01-01T00:00:00Z")
    node = ui.ask("POST", f"/api/v1/node/{a}/expire?disable_expiry=true", {})["node"]
    same("expiry", node["expiry"], None)
    ui.ask("POST", f"/api/v1/node/{a}/expire", {})
    wait_for("alice has to log in again", lambda: alice.state() == "NeedsLogin", timeout=30)

    # Keys, in the forms of all releases.
    auth = ui.ask("POST", "/api/v1/preauthkey", {"user": users["alice"]["id"], "expiration": "2099-01-01T00:00:00Z",
                                                 "reusable": True, "ephemeral": False})["preAuthKey"]
    alice.up(auth["key"], "--advertise-routes=10.9.0.0/24")
    alice.wait_peer("robert")
    listed = ui.ask("GET", f"/api/v1/preauthkey?user={users['alice']['id']}")["preAuthKeys"]
    if auth["key"] in json.dumps(listed):
        raise Failure("a list shows a whole key")
    text = next(k["key"] for k in listed if k["id"] == auth["id"])
    ui.ask("POST", "/api/v1/preauthkey/expire", {"user": users["alice"]["id"], "key": text})
    helper = ui.ask("POST", "/api/v1/preauthkey", {"ephemeral": False, "reusable": False, "expiration": None,
                                                   "aclTags": ["tag:helper"]})["preAuthKey"]
    same("a tags-only key's user", helper["user"], None)

    # A new key, then the old one away, by all that a console knows of it.
    fresh = ui.ask("POST", "/api/v1/apikey", {"expiration": "2099-01-01T00:00:00Z"})["apiKey"]
    ui.ask("POST", "/api/v1/apikey/expire", {"prefix": key})
    ui.ask("GET", "/api/v1/user", want=401)
    ui.headers[0] = f"Authorization: Bearer {fresh}"
    ui.ask("DELETE", f"/api/v1/node/{b}")
    wait_for("bob has to log in again", lambda: bob.state() == "NeedsLogin", timeout=30)
    done = {(e["action"], e["author"]) for e in ui.ask("GET", "/api/v1/audit?limit=1000")["entries"]}
    if ("node.delete", f"key:{fresh[10:22]}") not in done:
        raise Failure(f"the audit log lacks what was done: {sorted(done)}")
    for secret in (key, fresh, auth["key"]):
        if secret[-64:] in server.log.read_text():
            raise Failure("the log shows a key")
