"""A real headscale is stopped, imported and replaced by Hatsize with the same configuration file: clients come back
with no new log-in, their keys, addresses and numbers as before; an auth key and an API key that were
handed out still work. Shows headscale.md 11 #24, #39, #40 and #122 across the change of servers."""
import hashlib
import json

from world import Failure, never, wait_for

NEEDS_HEADSCALE = True

CONFIG = """listen_addr: 0.0.0.0:8080
metrics_listen_addr: ""
grpc_listen_addr: 127.0.0.1:50443
noise:
  private_key_path: ./noise_private.key
prefixes:
  v4: 100.64.0.0/10
  v6: fd7a:115c:a1e0::/48
derp:
  server:
    enabled: true
    region_id: 999
    region_code: headscale
    region_name: Headscale Embedded DERP
    stun_listen_addr: 0.0.0.0:3478
    private_key_path: ./derp_server_private.key
  urls: []
disable_check_updates: true
database:
  type: sqlite
  sqlite:
    path: ./db.sqlite
policy:
  mode: database
dns:
  magic_dns: true
  base_domain: tail.test
  override_local_dns: false
unix_socket: {dir}/hs.sock
"""
POLICY = '{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]} // ours\n'


class Headscale:
    """The old server, on the host and with the file that the new one will have."""

    def __init__(self, world, server):
        self.program, self.server, self.log = world.headscale, server, server.dir / "headscale.log"
        self.proc = None

    def start(self):
        self.proc = self.server.host.spawn(self.program, "serve", "-c", self.server.config, log=self.log)
        wait_for("headscale answers", lambda: self.cli("users", "list", check=False).returncode == 0, 60)

    def stop(self):
        self.server.host.end(self.proc, wait=20)

    def cli(self, *argv, check=True):
        return self.server.host.run(self.program, *argv, "-c", self.server.config, check=check)

    def json(self, *argv):
        return json.loads(self.cli(*argv, "-o", "json").stdout or "null")


def facts(client):
    """What must not change."""
    me = client.status()["Self"]
    return {"addresses": me["TailscaleIPs"], "node key": me["PublicKey"], "id": me["ID"], "name": me["DNSName"]}


def api(client, server, key):
    done = client.host.run("curl", "-s", "-m", "10", "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {key}",
                           f"{server.url}/api/v1/node")
    body, status = done.stdout.rsplit("\n", 1)
    return int(status), body


def run(world):
    server = world.server(start=False)
    server.configure(CONFIG.format(dir=server.dir))
    old = Headscale(world, server)
    old.start()
    alice_id = str(old.json("users", "create", "alice")["id"])
    auth_key = old.json("preauthkeys", "create", "--user", alice_id, "--reusable", "-e", "24h")["key"]
    api_key = old.cli("apikeys", "create").stdout.strip().splitlines()[-1]
    (server.dir / "policy").write_text(POLICY)
    old.cli("policy", "set", "-f", server.dir / "policy")
    one, two = world.client("one", up=False), world.client("two", up=False)
    for client in (one, two):
        client.up(auth_key)
        client.wait_running()
    one.wait_peer("two")
    before = {client.name: facts(client) for client in (one, two)}
    never("the import works beside a running headscale",
          lambda: server.cli("import", "headscale", "--dry-run", check=False).returncode == 0)
    old.stop()

    database = server.dir / "db.sqlite"
    was = hashlib.sha256(database.read_bytes()).hexdigest()
    dry = json.loads(server.cli("import", "headscale", "--dry-run", "-o", "json").stdout)
    report = json.loads(server.cli("import", "headscale", "-o", "json").stdout)
    if dry["written"] or not report["written"] or dry["counts"] != report["counts"]:
        raise Failure(f"the dry run says something else: {dry} {report}")
    taken = {what: counts["taken"] for what, counts in report["counts"].items()}
    if taken != {"users": 1, "nodes": 2, "authKeys": 1, "apiKeys": 1, "policies": 1, "oauthClients": 0, "oauthTokens": 0}:
        raise Failure(f"taken: {taken}, {report['notes']}")
    if hashlib.sha256(database.read_bytes()).hexdigest() != was:
        raise Failure("the import changed headscale's database")

    server.start()
    wait_for("both clients are back", lambda: all(n["online"] for n in server.nodes()) and len(server.nodes()) == 2, 90)
    for client in (one, two):
        client.wait_running()
        if facts(client) != before[client.name]:
            raise Failure(f"{client.name} was {before[client.name]} and is {facts(client)}")
    one.wait_ping(two.ip4())
    two.wait_ping(one.ip6())
    if server.cli("policy", "get").stdout != POLICY:
        raise Failure("the policy is another one")

    third = world.client("third", up=False).up(auth_key)
    third.wait_peer("one")
    third.wait_ping(one.ip4())
    if third.ip4() in {ip for known in before.values() for ip in known["addresses"]}:
        raise Failure("the third client has an address of another")
    wrong = auth_key[:-1] + ("a" if auth_key[-1] != "a" else "b")
    never("a wrong auth key lets a machine in",
          lambda: world.client("fourth", up=False).ts("up", f"--login-server={server.url}", "--timeout=10s",
                                                      f"--auth-key={wrong}", check=False).returncode == 0)

    status, body = api(one, server, api_key)
    if status != 200 or len(json.loads(body)["nodes"]) != 3:
        raise Failure(f"the old API key: {status} {body[:500]}")
    status, body = api(one, server, api_key[:-1] + ("a" if api_key[-1] != "a" else "b"))
    if status != 401:
        raise Failure(f"a wrong API key: {status} {body[:200]}")
    if hashlib.sha256(database.read_bytes()).hexdigest() != was:
        raise Failure("the new server changed headscale's database")
