"""The command line from another machine, by address and API key; and who is not let in.

headscale.md 11 #106, #107, #113, #117.
"""
import json
import re

from world import POLICY_IN_DATABASE, Failure, Host


class Remote:
    """A machine with nothing of the server's: no file, no socket."""

    def __init__(self, world, server):
        self.world, self.server = world, server
        self.host = Host(world, "laptop")

    def run(self, *argv, check=True, **variables):
        env = [f"{name}={value}" for name, value in variables.items()]
        return self.host.run("env", "-i", "PATH=/usr/bin:/bin", "HOME=/nonexistent", *env, self.world.hatsize, *argv,
                             check=check)

    def by_key(self, key, *argv, check=True):
        return self.run(*argv, check=check, HATSIZE_CLI_ADDRESS=self.server.url, HATSIZE_CLI_API_KEY=key)

    def curl(self, *argv):
        done = self.host.run("curl", "-s", "-w", "\n%{http_code}", *argv)
        body, status = done.stdout.rsplit("\n", 1)
        return int(status), body


def same(what, got, want):
    if got != want:
        raise Failure(f"{what}: {got!r}, not {want!r}")


def refused(what, done, *wants):
    """Status 1, an error in these words, nothing of the server's."""
    for want in wants:
        if done.returncode != 1 or want not in done.stderr or done.stdout:
            raise Failure(f"{what}: {done.returncode} {done.stdout!r} {done.stderr!r}, not {want!r}")


def keys(server):
    """Made, listed, ended and removed, by id and by prefix."""
    first = server.cli("apikeys", "create").stdout.strip()
    if not re.fullmatch(r"hskey-api-[0-9a-f]{12}-[0-9a-f]{64}", first):
        raise Failure(f"the key is not printed alone: {len(first)} characters")
    second = server.json("apikeys", "create", "--expiration", "24h")
    if not isinstance(second, str):
        raise Failure("an API key in JSON is no string")
    listed = server.json("apikeys", "list")
    same("members", list(listed[0])[:5], ["id", "prefix", "expiration", "createdAt", "lastSeen"])
    table = server.cli("apikeys", "ls").stdout
    same("columns", [head.strip() for head in table.splitlines()[0].split("|")], ["ID", "Prefix", "Expiration", "Created"])
    same("rows", [line.split("|")[1].strip() for line in table.splitlines()[1:3]],
         [first[:22] + "-***", second[:22] + "-***"])
    for key in (first, second):
        if key in table + json.dumps(listed):
            raise Failure("a list shows a whole API key")
    for argv, want in (([], "either --id or --prefix must be provided"),
                       (["--id", "1", "--prefix", "x"], "only one of --id or --prefix can be provided"),
                       (["--id", "999"], ""), (["--prefix", "hskey-api-000000000000-***"], "")):
        for verb in ("expire", "delete"):
            refused(f"apikeys {verb} {argv}", server.cli("apikeys", verb, *argv, check=False), want)
    return first, second, listed


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    remote = Remote(world, server)
    server.user("alice")
    first, second, listed = keys(server)

    # The same answers as on the server itself, in every form.
    for argv in (["users", "list"], ["nodes", "list"], ["preauthkeys", "list"], ["apikeys", "list"], ["health"],
                 ["tailnets", "list"], ["audit", "list"]):
        for form in ([], ["-o", "json"], ["-o", "json-line"], ["-o", "yaml"]):
            here, there = server.cli(*argv, *form).stdout, remote.by_key(first, *argv, *form).stdout
            if argv[0] == "apikeys" and form:  # when a key was last seen goes on
                here, there = (re.sub(r'"?last[sS]een"?:[^,\n]*', "", text) for text in (here, there))
            same(f"{argv} {form}", there, here)
    # Changes as well, by headscale's variables, without a scheme that TLS would need, and by a file.
    made = remote.run("users", "create", "bob", "-o", "json", HEADSCALE_CLI_ADDRESS=server.url, HEADSCALE_CLI_API_KEY=first)
    same("the user made", json.loads(made.stdout)["name"], "bob")
    config = remote.world.dir / "remote.yaml"
    config.write_text(f"cli:\n  address: {server.url}/\n  api_key: {first}\n")
    config.chmod(0o600)
    done = remote.run("users", "destroy", "-n", "bob", "--force", "--config", config)
    same("destroyed by a file's key", done.stdout, "User destroyed\n")
    join = json.loads(remote.by_key(first, "quickstart", "-o", "json").stdout)
    same("what machines are told", join["serverUrl"], server.url)

    # Who is not let in learns nothing, here and by curl.
    wrong = first[:-1] + ("0" if first[-1] != "0" else "1")
    for key in ("nonsense", wrong, "hskey-api-000000000000-" + "0" * 64):
        refused("a wrong key", remote.by_key(key, "users", "list", check=False), "Unauthorized")
        error = remote.by_key(key, "users", "list", "-o", "json", check=False)
        if "Unauthorized" not in json.loads(error.stderr)["error"]:
            raise Failure(f"a wrong key in JSON: {error.stderr}")
    url = server.url + "/api/v1/user"
    for headers in ([], ["-H", f"Authorization: bearer {first}x"], ["-H", "Authorization: Basic !!!"],
                    ["-H", "Authorization: Bearer"], ["-H", f"Authorization: Bearer {wrong}"]):
        status, body = remote.curl(*headers, url)
        if status != 401 or len(body) > 200 or "Unauthorized" not in body or "alice" in body:
            raise Failure(f"curl with {headers[-1:]}: {status} {body[:300]}")
    status, body = remote.curl("-H", f"Authorization: Bearer {first}", url)
    if status != 200 or "alice" not in body:
        raise Failure(f"curl with the key: {status} {body[:300]}")

    # Ended or removed, a key is no longer good, at once.
    server.cli("apikeys", "expire", "--id", listed[0]["id"])
    refused("an expired key", remote.by_key(first, "users", "list", check=False), "Unauthorized")
    remote.by_key(second, "users", "list")
    server.cli("apikeys", "delete", "--prefix", second[:22])
    refused("a deleted key", remote.by_key(second, "users", "list", check=False), "Unauthorized")
    server.cli("apikeys", "delete", "--id", listed[0]["id"])
    same("no keys", server.json("apikeys", "list"), [])

    # Addresses that lead nowhere say what is wrong with them.
    address = server.url.removeprefix("http://")
    for variables, *wants in (
            ({"HATSIZE_CLI_ADDRESS": server.url}, "API_KEY", "needs to be set"),
            ({"HATSIZE_CLI_ADDRESS": address, "HATSIZE_CLI_API_KEY": "k"}, "https://" + address, "http:// in front"),
            ({"HATSIZE_CLI_ADDRESS": f"{server.host.ip}:50443", "HATSIZE_CLI_API_KEY": "k"}, "50443", "gRPC"),
            ({"HATSIZE_CLI_ADDRESS": f"http://{server.host.ip}:1", "HATSIZE_CLI_API_KEY": "k"}, "Is the server running"),
            ({"HATSIZE_CLI_ADDRESS": server.url + "/elsewhere", "HATSIZE_CLI_API_KEY": "k"}, "not as a Hatsize server"),
            ({"HATSIZE_CLI_ADDRESS": "file:///etc/passwd", "HATSIZE_CLI_API_KEY": "k"}, "write what clients use")):
        refused(variables, remote.run("users", "list", check=False, **variables), *wants)
    refused("a key with a line end", remote.by_key("a\nX-Evil: 1", "users", "list", check=False), "control character")
