"""Every command of the command line, in every form of output, against what the REST API says; and bad input.

headscale.md 11 #26 to #29, #31, #108 to #112, #114, #116, #117.
"""
import http.client
import json
import os
import re
import signal
import socket
import subprocess

import yaml

from world import POLICY_IN_DATABASE, Failure, sh, wait_for

HOSTILE = ["'; DROP TABLE users; --", "\x1b[2J\x1b]0;owned\x07", "a\nb", "../../../etc/passwd", "%00%0a", "\u202eevil",
           "x" * 100000, "-"]


class SocketConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("local", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        self.sock.connect(self.path)


class Cli:
    """The command line beside the API that it speaks to."""

    def __init__(self, server):
        self.server = server
        self.seen = set()

    def rest(self, path):
        connection = SocketConnection(str(self.server.dir / "data" / "hatsize.sock"))
        connection.request("GET", "/api/v1/" + path)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise Failure(f"GET {path}: {answer.status} {body}")
        return json.loads(body)

    def run(self, *argv, check=True):
        return self.server.cli(*argv, check=check)

    def forms(self, *argv):
        """The answer, the same as JSON, as one line of it and as YAML."""
        text = self.run(*argv, "-o", "json").stdout
        line = self.run(*argv, "--output=json-line").stdout
        if line.count("\n") != 1 or json.loads(line) != json.loads(text):
            raise Failure(f"{argv}: json-line is not json on a line:\n{line}\n{text}")
        if lowered(json.loads(text)) != yaml.safe_load(self.run(*argv, "-oyaml").stdout):
            raise Failure(f"{argv}: YAML says something else:\n{self.run(*argv, '-oyaml').stdout}\n{text}")
        return json.loads(text)

    def table(self, *argv):
        """Rows of a table, by its heads; a cell of several lines is a list."""
        lines = self.run(*argv).stdout.split("\n")
        if lines[-2:] != ["", ""] or len({len(line) for line in lines[:-2]}) > 1:
            raise Failure(f"{argv}: not a table:\n" + "\n".join(lines))
        heads, rows = [head.strip() for head in lines[0].split(" | ")], []
        for line in lines[1:-2]:
            cells = [cell.strip() for cell in line.split(" | ")]
            if cells[0]:
                rows.append({head: [cell] if cell else [] for head, cell in zip(heads, cells)})
            else:
                for head, cell in zip(heads, cells):
                    rows[-1][head] += [cell] if cell else []
        return heads, rows

    def says(self, want, *argv):
        """What people are told when it worked."""
        done = self.run(*argv)
        if not re.search(want, done.stdout):
            raise Failure(f"{argv} said {done.stdout!r}, not {want!r}")

    def fails(self, want, *argv):
        """Refused with these words and status 1, for people and for programs."""
        done = self.run(*argv, check=False)
        if done.returncode != 1 or not re.search("^Error: ", done.stderr, re.M) or want not in done.stderr or done.stdout:
            raise Failure(f"{argv}: {done.returncode} {done.stdout!r} {done.stderr!r}, not {want!r}")
        if re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e]", done.stderr):
            raise Failure(f"{argv}: the complaint steers the terminal: {done.stderr!r}")
        done = self.run(*argv, "-o", "json", check=False)
        if done.returncode != 1 or done.stdout or set(json.loads(done.stderr)) != {"error"}:
            raise Failure(f"{argv} in JSON: {done.returncode} {done.stdout!r} {done.stderr!r}")
        if want not in json.loads(done.stderr)["error"]:
            raise Failure(f"{argv} in JSON: {done.stderr!r}, not {want!r}")


def lowered(value):
    """Member names as YAML has them."""
    if isinstance(value, dict):
        return {name.lower(): lowered(member) for name, member in value.items()}
    return [lowered(item) for item in value] if isinstance(value, list) else value


def same(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got}, not {want}")


def users(cli):
    made = json.loads(cli.run("users", "create", "alice", "--display-name", "Alice A", "-e", "alice@example.com",
                              "-p", "https://example.com/a.png", "-o", "json").stdout)
    same("the user made", {name: made[name] for name in ("name", "displayName", "email", "profilePicUrl")},
         {"name": "alice", "displayName": "Alice A", "email": "alice@example.com",
          "profilePicUrl": "https://example.com/a.png"})
    cli.says("User created", "user", "c", "bob")
    same("users", cli.forms("users", "list"), cli.rest("user")["users"])
    for flag, value in (("-n", "alice"), ("-e", "alice@example.com"), ("-i", made["id"])):
        same(f"users list {flag}", [u["name"] for u in cli.forms("users", "ls", flag, value)], ["alice"])
    same("users by an unknown name", cli.forms("users", "show", "--name", "nobody"), [])
    heads, rows = cli.table("users", "list")
    same("columns", heads, ["ID", "Name", "Username", "Email", "Created", "Role", "Status"])  # headscale's first
    same("rows", [(r["Name"], r["Username"]) for r in rows], [(["Alice A"], ["alice"]), ([], ["bob"])])
    cli.fails("user already exists", "users", "create", "bob")
    cli.fails("missing parameters", "users", "create")
    cli.fails("--name or --identifier flag is required", "users", "rename", "-r", "x")
    cli.says("User renamed", "users", "rename", "-n", "bob", "-r", "rob")
    same("renamed by name", cli.server.json("users", "rename", "rob", "bob")["name"], "bob")
    cli.fails("Nobody is there to ask", "users", "destroy", "bob")
    for answer, said in (("n\n", "User not destroyed"), ("YES\n", "User destroyed")):
        done = cli.server.host.run(cli.server.world.hatsize, "users", "destroy", "-n", "bob", "--config",
                                   cli.server.config, "--data-dir", cli.server.dir / "data", input=answer)
        same(f"destroy, answered {answer!r}", done.stdout.strip(), said)
    same("who is left", [u["name"] for u in cli.rest("user")["users"]], ["alice"])
    cli.run("users", "create", "gone")
    same("destroyed in JSON", json.loads(cli.run("users", "delete", "-n", "gone", "--force", "-o", "json").stdout), {})
    cli.fails("no user", "users", "destroy", "--force", "-i", "999")


def auth_keys(cli):
    alice = cli.rest("user?name=alice")["users"][0]["id"]
    key = json.loads(cli.run("preauthkeys", "create", "-u", alice, "--reusable", "--ephemeral", "-e", "24h", "-o",
                             "json").stdout)
    same("flags of the key", (key["reusable"], key["ephemeral"], key["used"], key["user"]["name"]),
         (True, True, False, "alice"))
    secret = cli.run("authkey", "new", "--tags", "tag:a,tag:b").stdout.strip()
    if not re.fullmatch(r"hskey-auth-[0-9a-f]{12}-[0-9a-f]{64}", secret):
        raise Failure("the key is not printed alone")
    listed = cli.forms("preauthkeys", "list")
    same("auth keys", listed, cli.rest("preauthkey")["preAuthKeys"])
    if secret in json.dumps(listed) or key["key"] in json.dumps(listed):
        raise Failure("the list shows a whole key")
    heads, rows = cli.table("pre", "ls")
    same("columns", heads, ["ID", "Key/Prefix", "Reusable", "Ephemeral", "Used", "Expiration", "Created", "Owner"])
    same("owners", [r["Owner"] for r in rows], [["alice"], ["tag:a", "tag:b"]])
    cli.says("Key expired", "preauthkeys", "revoke", "-i", key["id"])
    cli.says("Key expired", "preauthkeys", "expire", "--user", alice, secret)
    cli.fails("missing --id parameter", "preauthkeys", "expire")  # headscale.md 11 #31, and below
    cli.fails("--id wants a number", "preauthkeys", "delete", "--id", "one")
    same("deleted", cli.run("preauthkeys", "rm", "-i", key["id"], "-o", "json-line").stdout, "{}\n")
    same("one is left", len(cli.rest("preauthkey")["preAuthKeys"]), 1)
    cli.fails("duration", "preauthkeys", "create", "-u", alice, "-e", "soon")
    cli.fails("tag", "preauthkeys", "create", "--tags", "nonsense")
    cli.fails("no user", "preauthkeys", "create", "--user", "nobody")
    cli.fails("", "preauthkeys", "create", "--user", "999")


def nodes(cli, world):
    alice = world.client("alice", user="alice", flags=("--advertise-routes=10.1.0.0/24,10.2.0.0/24",))
    wait_for("alice is online and offers her routes", lambda: cli.rest("node")["nodes"][0]["online"] and cli.rest("node")["nodes"][0]["availableRoutes"])
    # Last seen and kin go on while one looks.
    still = lambda nodes: [{k: v for k, v in n.items() if k not in ("lastSeen", "expiry")} for n in nodes]
    same("nodes", still(cli.server.json("nodes", "list")), still(cli.rest("node")["nodes"]))
    same("nodes of alice", len(cli.forms("nodes", "ls", "-u", "alice")), 1)
    cli.fails("user not found", "nodes", "list", "--user", "nobody")
    node = cli.rest("node")["nodes"][0]
    heads, rows = cli.table("nodes", "list")
    same("columns", heads, ["ID", "Hostname", "Name", "MachineKey", "NodeKey", "User", "Tags", "IP addresses",
                            "Ephemeral", "Last seen", "Expiration", "Connected", "Expired"])
    same("alice's row", (rows[0]["Hostname"], rows[0]["User"], rows[0]["IP addresses"], rows[0]["Connected"]),
         (["alice"], ["alice"], node["ipAddresses"], ["online"]))
    heads, rows = cli.table("nodes", "list-routes")
    same("columns", heads, ["ID", "Hostname", "Approved", "Available", "Serving (Primary)"])
    same("routes", (rows[0]["Approved"], rows[0]["Available"]), ([], ["10.1.0.0/24", "10.2.0.0/24"]))
    i = node["id"]
    cli.says("Node updated", "nodes", "approve-routes", "-i", i, "-r", "10.1.0.0/24,10.2.0.0/24")
    same("approved", cli.rest("node")["nodes"][0]["approvedRoutes"], ["10.1.0.0/24", "10.2.0.0/24"])
    cli.says("Route disabled", "routes", "disable", "-r", f"{i}:10.1.0.0/24")
    same("old list", [(r["id"], r["enabled"]) for r in cli.forms("routes", "list", "-i", i)],
         [(f"{i}:10.1.0.0/24", False), (f"{i}:10.2.0.0/24", True)])
    cli.says("Route enabled", "route", "enable", "-r", f"{i}:10.1.0.0/24")
    same("approved again", cli.rest("node")["nodes"][0]["approvedRoutes"], ["10.1.0.0/24", "10.2.0.0/24"])
    cli.says("Node updated", "nodes", "approve-routes", "-i", i, "-r", "")
    same("none approved", cli.rest("node")["nodes"][0]["approvedRoutes"], [])
    cli.fails("prefix", "nodes", "approve-routes", "-i", i, "-r", "10.0.0.0/40")
    same("renamed", json.loads(cli.run("nodes", "rename", "router", "-i", i, "-o", "json").stdout)["givenName"], "router")
    cli.fails("renaming node", "nodes", "rename", "x" * 64, "-i", i)  # headscale.md 11 #110
    cli.fails("required flag(s) \"identifier\" not set", "nodes", "rename", "x")
    cli.fails("wants a number", "nodes", "expire", "-i", "-1")
    cli.fails("node not found", "nodes", "delete", "-i", "999", "--force")
    cli.says("Node expiration updated", "nodes", "expire", "-i", i, "-e", "2099-01-31T00:00:00Z")
    same("expiry", cli.rest("node")["nodes"][0]["expiry"][:10], "2099-01-31")
    cli.says("Node expiry disabled", "nodes", "logout", "-i", i, "--disable")
    same("no expiry", cli.rest("node")["nodes"][0]["expiry"], None)
    cli.fails("parsing expiry", "nodes", "expire", "-i", i, "-e", "tomorrow")
    cli.fails("cannot remove all tags", "nodes", "tag", "-i", i, "-t", "")
    cli.fails("tag", "nodes", "tag", "-i", i, "-t", "nonsense")
    cli.server.policy({"tagOwners": {"tag:a": ["alice@"]}})
    cli.fails("invalid or not permitted", "nodes", "tag", "-i", i, "-t", "tag:other")
    cli.says("Node updated", "nodes", "tag", "-i", i, "-t", "tag:a")
    # headscale.md 11 #111
    same("its user in the table", cli.table("nodes", "list")[1][0]["User"], ["tagged-devices"])
    same("its user in JSON", cli.server.json("nodes", "list")[0]["user"]["name"], "tagged-devices")
    cli.fails("a tagged node belongs to nobody", "nodes", "move", "-i", i, "-u", "alice")
    cli.says("Node expired", "nodes", "exp", "-i", i)
    same("deleted", json.loads(cli.run("nodes", "del", "-i", i, "--force", "-o", "json").stdout),
         {"Result": "Node deleted"})
    same("no nodes", cli.forms("nodes", "list"), [])
    alice.stop()


def registrations(cli):
    """Machines that `debug create-node` makes up wait like any."""
    ids = [f"hskey-authreq-{n:024x}" for n in range(7)]
    for n, waiting in enumerate(ids):
        made = json.loads(cli.run("debug", "create-node", "--name", f"n{n}", "-u", "alice", "-k", waiting, "-r",
                                  "10.9.0.0/24", "-o", "json").stdout)
        same("a node that waits", (made["id"], made["name"]), ("0", f"n{n}"))
    same("nobody was let in yet", cli.rest("node")["nodes"], [])
    for n, waiting in enumerate(ids[:5]):
        cli.says(f"Node n{n} registered", "auth", "register", "-u", "alice", "--auth-id", waiting)
    done = cli.run("nodes", "register", "-u", "alice", "-k", ids[5])
    same("the old form", (done.stdout, "deprecated" in done.stderr), ("Node n5 registered\n", True))
    cli.says("Auth request rejected", "auth", "reject", "--auth-id", ids[6])
    cli.fails("", "auth", "register", "-u", "alice", "--auth-id", ids[6])
    for word in ("nonsense", ids[0], "hskey-authreq-" + "f" * 24):  # headscale.md 11 #114
        cli.fails("auth", "auth", "register", "-u", "alice", "--auth-id", word)
    cli.fails("user", "auth", "register", "-u", "nobody", "--auth-id", ids[0])
    cli.fails("auth", "auth", "reject", "--auth-id", "nonsense")
    cli.fails("auth", "auth", "approve", "--auth-id", "nonsense")
    cli.fails("required flag(s) \"auth-id\" not set", "auth", "register", "-u", "alice")
    same("nodes", cli.forms("nodes", "list"), cli.rest("node")["nodes"])
    same("in the table", [r["Name"] for r in cli.table("nodes", "list")[1]], [[f"n{n}"] for n in range(6)])
    cli.run("users", "create", "carol")
    first = cli.rest("node")["nodes"][0]["id"]
    cli.says("Node moved", "nodes", "move", "-i", first, "-u", "carol")
    same("carol's", [n["id"] for n in cli.forms("nodes", "list", "-u", "carol")], [first])
    cli.fails("not found", "nodes", "mv", "-i", first, "-u", "nobody")
    same("nothing to fill in", json.loads(cli.run("nodes", "backfillips", "--force", "-o", "json").stdout), {"changes": []})
    cli.fails("Nobody is there to ask", "nodes", "backfillips")
    for node in cli.rest("node")["nodes"]:
        cli.says("Node deleted", "nodes", "delete", "-i", node["id"], "--force")
    same("SSH checks", cli.forms("ssh", "list"), [])
    cli.fails("SSH check", "ssh", "approve", "sshcheck-nonsense")


def audit(cli):
    """Who changed what, by the API's entries."""
    same("the audit log", cli.forms("audit", "list", "--limit", "20"), cli.rest("audit?limit=20")["entries"])
    heads, rows = cli.table("audit", "list", "-l", "3", "--since", "24h")
    same("columns", heads, ["ID", "Time", "Author", "From", "Action", "Object", "Name"])
    same("three entries by the socket", [r["Author"] for r in rows], [["socket"]] * 3)
    same("none in the future", cli.forms("audit", "list", "--since", "2099-01-31T00:00:00Z"), [])
    cli.fails("--since wants a time", "audit", "list", "--since", "yesterday")


def policies(cli):
    text = '// mine\n{"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}\n'
    path = cli.server.dir / "mine.hujson"
    path.write_text(text)
    cli.says("Policy is valid", "policy", "check", "-f", path)
    cli.says("Policy updated", "policy", "put", path)
    same("the policy", cli.run("policy", "show").stdout, text)
    cli.says("[Nn]o connection", "policy", "diff", path)
    path.write_text('{"acls": [{"action": "drop", "src": ["*"], "dst": ["*:*"]}]}')
    cli.fails("drop", "policy", "set", "-f", path)
    cli.fails("drop", "policy", "check", "-f", path)
    same("the policy stays", cli.run("policy", "get").stdout, text)
    cli.fails("stop it first", "policy", "get", "--bypass-grpc-and-access-database-directly", "--force")


def alone(cli):
    version = cli.forms("version")  # headscale.md 11 #116
    same("members of version", list(version)[:5], ["version", "commit", "buildTime", "go", "dirty"])
    cli.says(r"hatsize version " + re.escape(version["version"]), "version")
    key = json.loads(cli.run("gen", "private-key", "-o", "json").stdout)["private_key"]
    if not re.fullmatch("privkey:[0-9a-f]{64}", key):
        raise Failure(f"a private key: {len(key)} characters")
    cli.says(r"^privkey:[0-9a-f]{64}\n$", "generate", "private-key")
    same("health", cli.forms("health")["databaseConnectivity"], True)
    same("the configuration is good", cli.run("configtest").stdout, "")
    same("the configuration in force", cli.forms("dumpConfig")["server_url"], cli.server.url)
    same("tailnets", cli.forms("tailnet", "list"), cli.rest("tailnet")["tailnets"])
    quick = json.loads(cli.run("quickstart", "-u", "quick", "-o", "json-line").stdout)
    same("the line that joins", quick["command"],
         f"tailscale up --login-server={cli.server.url} --auth-key={quick['key']}")
    cli.fails("there is no test identity provider", "mockoidc")
    cli.says("nodes approve-routes", "nodes")
    cli.says("nodes approve-routes", "help", "node")
    cli.says("--expiry", "help", "nodes", "expire")


def typing_errors(cli):
    for want, argv in (("did you mean nodes?", ["nods"]), ("did you mean list?", ["nodes", "lsit"]),
                       ("did you mean --user?", ["nodes", "list", "--usr", "x"]), ("unknown flag: -x", ["nodes", "list", "-x"]),
                       ("unexpected \"extra\"", ["nodes", "list", "extra"]), ("wants a value", ["nodes", "list", "--user"])):
        # The form is asked for in front: behind, it would be the value that is missing.
        done = cli.run(*argv, check=False) if argv[-1] != "--user" else sh(cli.server.world.hatsize, *argv, check=False)
        same(f"{argv}: status", done.returncode, 1)
        if want not in done.stderr:
            raise Failure(f"{argv}: {done.stderr!r}, not {want!r}")
    done = cli.run("nodes", "list", "-o", "xml", check=False)
    same("an unknown form", (done.returncode, "json-line" in done.stderr), (1, True))
    cli.run("users", "create", "victim")
    for text in HOSTILE:
        for argv in (["users", "create", "--", text], ["users", "rename", "-n", "victim", "-r", text],
                     ["nodes", "list", "-u", text], ["nodes", "rename", "-i", "1", "--", text],
                     ["auth", "register", "-u", text, "--auth-id", text], ["preauthkeys", "create", "-u", text],
                     ["preauthkeys", "expire", "--", text], ["tailnets", "create", "--", text],
                     ["nodes", "list", "--tailnet", text]):
            done = cli.run(*argv, check=False)
            if done.returncode not in (0, 1) or re.search(r"[\x00-\x08\x0b-\x1f\x7f]", done.stdout + done.stderr):
                raise Failure(f"{argv[:2]} {text[:40]!r}: {done.returncode} {done.stdout[:200]!r} {done.stderr[:200]!r}")
    same("users are still listed", cli.forms("users", "list"), cli.rest("user")["users"])


def completion(cli):
    """In bash, by the function that the script defines; the rest of the shells that are there parse theirs."""
    script = cli.run("completion", "bash").stdout
    program = cli.server.world.hatsize
    where = f"--config {cli.server.config} --data-dir {cli.server.dir / 'data'}"

    def completes(words, *want):
        count = len(words)
        listed = " ".join(f"'{word}'" for word in words)
        done = sh("bash", "-c", f"{script}\nCOMP_WORDS=('{program}' {where} {listed}); COMP_CWORD=$((4 + {count}))\n"
                  "_hatsize; printf '%s\\n' \"${COMPREPLY[@]}\"")
        same(f"completing {words}", sorted(done.stdout.split()), sorted(want))

    completes(["nodes", "li"], "list", "list-routes")
    completes(["users", "list", "-o", ""], "json", "json-line", "yaml")
    completes(["users", "list", "--output", "=", "y"], "yaml")
    completes(["users", "destroy", "al"], "alice")
    completes(["preauthkeys", "create", "--us"], "--user")
    completes(["policy", "set", ""])
    for shell, check in (("zsh", "-n"), ("fish", "--no-execute"), ("bash", "-n")):
        path = cli.server.dir / f"completion.{shell}"
        path.write_text(cli.run("completion", shell).stdout)
        if sh("sh", "-c", f"command -v {shell}", check=False).returncode == 0:
            sh(shell, check, path)
    if "Register-ArgumentCompleter" not in cli.run("completion", "powershell").stdout:
        raise Failure("no script for PowerShell")
    page = cli.run("generate", "man").stdout
    if "approve\\-routes" not in page or "mockoidc" in page:
        raise Failure("the manual page does not follow the table of commands")
    if sh("sh", "-c", "command -v groff", check=False).returncode == 0:
        same("complaints about the manual page", sh("groff", "-man", "-Tascii", "-ww", "-z", input=page).stderr, "")


def at_a_terminal(cli):
    """Questions and colours are for people: asked and shown on a terminal, and there alone."""
    def types(answer, *argv, stdout=subprocess.PIPE):
        ours, theirs = os.openpty()
        os.write(ours, answer)
        try:
            return subprocess.run([cli.server.world.hatsize, *argv, "--config", cli.server.config, "--data-dir",
                                   cli.server.dir / "data"], stdin=theirs, stdout=stdout or theirs,
                                  stderr=subprocess.PIPE, timeout=30), ours
        finally:
            os.close(theirs)

    cli.run("users", "create", "asked")
    for answer, said in ((b"n\n", "User not destroyed\n"), (b"y\n", "User destroyed\n")):
        done, ours = types(answer, "users", "destroy", "-n", "asked")
        os.close(ours)
        same("asked at the terminal", (done.returncode, done.stdout.decode()), (0, said))
        if '"asked"' not in done.stderr.decode() or not done.stderr.decode().endswith(" [y/n] "):
            raise Failure(f"the question: {done.stderr!r}")
    done, ours = types(b"", "users", "list", stdout=None)
    shown = os.read(ours, 65536)
    os.close(ours)
    if b"\x1b[36mID" not in shown or "\x1b" in cli.run("users", "list").stdout:
        raise Failure(f"colours: {shown!r}")


def busy_server(cli):
    """A server that is stopped for a while: the command gives up in time and says why."""
    server = cli.server
    os.kill(server.pid(), signal.SIGSTOP)
    try:
        done = server.host.run("env", "HATSIZE_CLI_TIMEOUT=300ms", server.world.hatsize, "nodes", "list", "--config",
                               server.config, "--data-dir", server.dir / "data", check=False, timeout=25)
    except subprocess.TimeoutExpired:
        raise Failure("a command waits for ever for a server that does not answer") from None
    finally:
        os.kill(server.pid(), signal.SIGCONT)
    if done.returncode != 1 or "too busy to answer within 300 ms" not in done.stderr:
        raise Failure(f"a busy server: {done.returncode} {done.stderr!r}")
    cli.run("nodes", "list")


def run(world):
    cli = Cli(world.server(POLICY_IN_DATABASE))
    users(cli)
    auth_keys(cli)
    nodes(cli, world)
    registrations(cli)
    audit(cli)
    policies(cli)
    alone(cli)
    typing_errors(cli)
    completion(cli)
    at_a_terminal(cli)
    busy_server(cli)
