"""headscale's own command line, of 0.29 and of 0.25, drives Hatsize by gRPC: on the Unix socket, and from another
machine by address and API key under TLS; every command, and who is not let in. Shows headscale.md 11 #107."""
import glob
import json
import os
import re

from world import POLICY_IN_DATABASE, Failure, Host, certificate

NEEDS_HEADSCALE = True
AUTH_IDS = [f"hskey-authreq-{'abcdefghijklmnopqrstuvw'}{end}" for end in "wxyz"]


def old_headscale():
    """Where scripts/clients puts it; it takes too long to build for every machine."""
    cache = os.environ.get("HATSIZE_CACHE") or f"{os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')}/hatsize"
    found = sorted(glob.glob(f"{cache}/headscale-old/*/headscale"))
    return found[-1] if found else ""


class Cli:
    """A headscale as a client only."""

    def __init__(self, host, program, config, **env):
        self.host, self.program, self.config = host, program, config
        self.env = [f"{name}={value}" for name, value in {"NO_COLOR": "1", "HOME": "/nonexistent", **env}.items()]

    def run(self, *argv, check=True):
        return self.host.run("env", "-i", "PATH=/usr/bin:/bin", *self.env, self.program, "-c", self.config, *argv, check=check)

    def text(self, *argv):
        return self.run(*argv).stdout

    def json(self, *argv):
        text = self.run(*argv, "-o", "json").stdout
        return json.loads(text[min(at for at in (text.find("["), text.find("{"), text.find('"'), len(text)) if at >= 0):] or "null")

    def fails(self, want, *argv):
        done = self.run(*argv, check=False)
        if done.returncode == 0 or want not in done.stdout + done.stderr:
            raise Failure(f"{argv}: {done.returncode} {done.stdout!r} {done.stderr!r}, not {want!r}")


def same(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def seen(what, text, *wants):
    for want in wants:
        if want not in text:
            raise Failure(f"{what}: no {want!r} in {text!r}")


def users(cli):
    made = cli.json("users", "create", "alice", "-d", "Alice & Co", "-e", "alice@example.com")
    same("the user", (made["name"], made["display_name"], made["email"]), ("alice", "Alice & Co", "alice@example.com"))
    cli.fails("user already exists", "users", "create", "alice")
    cli.run("users", "create", "bob")
    seen("users", cli.text("users", "list"), "alice@example.com", "bob")
    same("by name", [u["name"] for u in cli.json("users", "list", "-n", "bob")], ["bob"])
    same("by id", [u["name"] for u in cli.json("users", "list", "-i", str(made["id"]))], ["alice"])
    seen("renamed", cli.text("users", "rename", "-n", "bob", "-i", str(made["id"] + 1), "-r", "carol"), "User renamed")
    seen("destroyed", cli.text("users", "destroy", "-n", "carol", "--force"), "User destroyed")
    cli.fails("user not found", "preauthkeys", "create", "-u", "999")
    return made["id"]


def auth_keys(cli, user):
    key = cli.json("preauthkeys", "create", "-u", str(user), "--reusable", "-e", "24h")
    if not re.fullmatch(r"hskey-auth-[0-9a-f]{12}-[0-9a-f]{64}", key["key"]) or not key["reusable"]:
        raise Failure("the key is of another form")
    tagged = cli.json("preauthkeys", "create", "--tags", "tag:a", "--ephemeral")
    same("the tagged key's tags", tagged["acl_tags"], ["tag:a"])
    listed = cli.json("preauthkeys", "list")
    same("keys", [k["id"] for k in listed], [key["id"], tagged["id"]])
    if key["key"] in json.dumps(listed):
        raise Failure("a list shows a whole key")
    seen("keys", cli.text("preauthkeys", "list"), "hskey-auth-", "alice", "tag:a")
    seen("expired", cli.text("preauthkeys", "expire", "-i", str(key["id"])), "Key expired")
    seen("deleted", cli.text("preauthkeys", "delete", "-i", str(tagged["id"])), "Key deleted")
    cli.fails("NotFound", "preauthkeys", "delete", "-i", str(tagged["id"]))


def nodes(cli, user, *auth_ids):
    cli.run("debug", "create-node", "--name", "one", "-u", "alice", "-k", auth_ids[0], "-r", "10.0.0.0/24", "-r", "0.0.0.0/0")
    seen("registered", cli.text("auth", "register", "-u", "alice", "--auth-id", auth_ids[0]), "Node one registered")
    cli.fails("no pending auth session", "auth", "register", "-u", "alice", "--auth-id", auth_ids[0])
    cli.fails("invalid auth_id", "auth", "register", "-u", "alice", "--auth-id", "nonsense")
    cli.run("debug", "create-node", "--name", "two", "-u", "alice", "-k", auth_ids[1])
    cli.run("auth", "reject", "--auth-id", auth_ids[1])
    (node,) = cli.json("nodes", "list", "-u", "alice")
    number = str(node["id"])
    same("the node", (node["given_name"], node["register_method"], len(node["ip_addresses"]), node["user"]["id"]),
         ("one", 2, 2, user))
    seen("nodes", cli.text("nodes", "list"), "one", "alice", node["ip_addresses"][0])
    seen("routes approved", cli.text("nodes", "approve-routes", "-i", number, "-r", "10.0.0.0/24,0.0.0.0/0"), "Node updated")
    seen("routes", cli.text("nodes", "list-routes"), "10.0.0.0/24", "::/0")
    cli.run("nodes", "approve-routes", "-i", number, "-r", "")
    same("no routes", cli.json("nodes", "list")[0].get("approved_routes"), None)
    seen("renamed", cli.text("nodes", "rename", "-i", number, "uno"), "Node renamed")
    cli.fails("InvalidArgument", "nodes", "rename", "-i", number, "not a name")
    seen("expired", cli.text("nodes", "expire", "-i", number), "expired")
    cli.run("nodes", "expire", "-i", number, "-e", "2099-01-01T00:00:00Z")
    same("the expiry", cli.json("nodes", "list")[0]["expiry"]["seconds"], 4070908800)
    cli.run("nodes", "expire", "-i", number, "-d")
    same("no expiry", cli.json("nodes", "list")[0].get("expiry"), None)
    seen("addresses", cli.text("nodes", "backfillips", "--force"), "backfilled")
    seen("tagged", cli.text("nodes", "tag", "-i", number, "-t", "tag:server"), "Node updated")
    same("the tags", cli.json("nodes", "list")[0]["tags"], ["tag:server"])
    cli.fails("tag", "nodes", "tag", "-i", number, "-t", "server")
    seen("deleted", cli.text("nodes", "delete", "-i", number, "--force"), "deleted")
    cli.fails("node not found", "nodes", "delete", "-i", number, "--force")


def policies(cli, folder):
    good, bad = folder / "good.hujson", folder / "bad.hujson"
    good.write_text('{"tagOwners": {"tag:server": ["alice@"], "tag:a": []}, "acls": [{"action": "accept", "src": ["*"], '
                    '"dst": ["*:*"]}]} // ours\n')
    bad.write_text('{"acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]}')
    seen("checked", cli.text("policy", "check", "-f", good), "valid")
    seen("set", cli.text("policy", "set", "-f", good), "updated")
    seen("the policy", cli.text("policy", "get"), good.read_text().strip())
    cli.fails('action="drop" is not supported', "policy", "set", "-f", bad)
    cli.fails('action="drop" is not supported', "policy", "check", "-f", bad)


def api_keys(cli):
    key = cli.text("apikeys", "create", "-e", "24h").strip()
    if not re.fullmatch(r"hskey-api-[0-9a-f]{12}-[0-9a-f]{64}", key):
        raise Failure("the API key is of another form")
    newest = cli.json("apikeys", "list")[-1]
    seen("API keys", cli.text("apikeys", "list"), key[:22])
    seen("expired", cli.text("apikeys", "expire", "-i", str(newest["id"])), "Key expired")
    seen("deleted", cli.text("apikeys", "delete", "-p", key[10:22]), "Key deleted")
    cli.fails("NotFound", "apikeys", "delete", "-p", key[10:22])
    cli.run("health")


def everything(cli, folder, *auth_ids):
    user = users(cli)
    auth_keys(cli, user)
    nodes(cli, user, *auth_ids)
    policies(cli, folder)
    api_keys(cli)
    cli.run("users", "destroy", "-i", str(user), "--force")


def old(cli, auth_id):
    """What 0.25 says and how it says it: keys by their text, users by name, nodes moved."""
    cli.run("users", "create", "dora")
    cli.run("users", "create", "emil")
    key = cli.json("preauthkeys", "create", "-u", "dora", "--reusable", "-e", "1h")
    same("the key's user", (key["user"], key["reusable"]), ("dora", True))
    same("keys", [k["id"] for k in cli.json("preauthkeys", "list", "-u", "dora")], [key["id"]])
    same("another's keys", cli.json("preauthkeys", "list", "-u", "emil"), None)
    seen("expired", cli.text("preauthkeys", "expire", "-u", "dora", key["key"]), "Key expired")
    cli.run("debug", "create-node", "--name", "old", "-u", "dora", "-k", auth_id, "-r", "10.9.0.0/24")
    seen("registered", cli.text("nodes", "register", "-u", "dora", "-k", auth_id), "old")
    (node,) = cli.json("nodes", "list", "-u", "dora")
    seen("moved", cli.text("nodes", "move", "-i", str(node["id"]), "-u", "emil"), "moved")
    same("moved to", cli.json("nodes", "list")[0]["user"]["name"], "emil")
    seen("nodes", cli.text("nodes", "list"), "old", "emil")
    cli.run("nodes", "rename", "-i", str(node["id"]), "older")
    (route,) = cli.json("routes", "list")
    same("the route", (route["prefix"], route.get("enabled"), route["node"]["id"]), ("10.9.0.0/24", None, node["id"]))
    cli.run("routes", "enable", "-r", str(route["id"]))
    same("enabled", [r.get("enabled") for r in cli.json("routes", "list", "-i", str(node["id"]))], [True])
    cli.run("routes", "disable", "-r", str(route["id"]))
    same("disabled", [r.get("enabled") for r in cli.json("routes", "list")], [None])
    seen("policy", cli.text("policy", "get"), "acls")
    cli.run("apikeys", "list")
    cli.run("nodes", "delete", "-i", str(node["id"]), "--force")
    cli.run("users", "destroy", "-n", "dora", "--force")


def run(world):
    server = world.server(start=False)
    cert, key = server.dir / "cert.pem", server.dir / "key.pem"
    certificate(server.host, cert, key, "server")
    socket = server.dir / "hs.sock"
    server.configure(POLICY_IN_DATABASE + f"tls_cert_path: {cert}\ntls_key_path: {key}\nunix_socket: {socket}\n"
                     f"grpc_listen_addr: 0.0.0.0:50443\n")
    server.start()

    # What headscale's program reads of a file, on the server: the socket is in it.
    local = world.dir / "headscale.yaml"
    local.write_text(
        f"server_url: {server.url}\nnoise:\n  private_key_path: {world.dir}/n.key\nprefixes:\n  v4: 100.64.0.0/10\n"
        f"unix_socket: {socket}\ndatabase:\n  type: sqlite\n  sqlite:\n    path: {world.dir}/none.sqlite\n"
        "dns:\n  base_domain: tail.test\n  magic_dns: false\n  override_local_dns: false\nderp:\n  urls: []\n  paths: []\n"
        "  server:\n    enabled: true\n    stun_listen_addr: 0.0.0.0:3478\n    private_key_path: /nonexistent\n")
    everything(Cli(server.host, world.headscale, local), world.dir, *AUTH_IDS[:2])

    api_key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    remote = {"HEADSCALE_CLI_ADDRESS": f"{server.host.ip}:50443", "HEADSCALE_CLI_API_KEY": api_key, "HEADSCALE_CLI_INSECURE": "true"}
    everything(Cli(laptop, world.headscale, local, **remote), world.dir, *AUTH_IDS[2:])
    for bad in ("nonsense", api_key[:-1] + ("0" if api_key[-1] != "0" else "1")):
        Cli(laptop, world.headscale, local, **{**remote, "HEADSCALE_CLI_API_KEY": bad}).fails("invalid token", "users", "list")

    # Keys do not go in the clear where there is a certificate; and HTTP/1 is told what this is.
    plain = laptop.run("curl", "-s", "--http2-prior-knowledge", "-m", "10", "-H", "content-type: application/grpc", "-H",
                       f"authorization: Bearer {api_key}", "--data-binary", "x",
                       f"http://{server.host.ip}:50443/headscale.v1.HeadscaleService/ListUsers").stdout
    seen("plain", plain, "wants TLS")
    seen("HTTP/1", laptop.run("curl", "-sk", "--http1.1", "-m", "10", "-d", "x",
                              f"https://{server.host.ip}:50443/headscale.v1.HeadscaleService/ListUsers").stdout, "HTTP/2")

    # The audit log knows who it was, as for any other caller.
    audit = server.json("audit", "list")
    if not any(entry["author"].startswith("key:") for entry in audit):
        raise Failure(f"nobody by key in the audit log: {audit[:3]}")
    if old_headscale():
        old(Cli(server.host, old_headscale(), local), "oldoldoldoldoldoldoldold")
    else:
        print("    without headscale 0.25: scripts/clients headscale-old builds it")
