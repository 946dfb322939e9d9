"""`hatsize serve`, and the command line to it."""
import json
import pathlib
import re
import signal

from common import Failure, wait_for
from host import Host


POLICY_IN_DATABASE = "policy:\n  mode: database\n"


class Server:
    """`hatsize serve` on a host of its own, and the command line to it."""

    def __init__(self, world, config="", name="server", url=None, start=True):
        """`url` is what clients are told. Without `start`, configure() and start() follow."""
        self.world = world
        self.host = Host(world, name)
        self.dir = world.dir / name
        self.dir.mkdir()
        self.log = self.dir / "log"
        self.url = url or f"http://{self.host.ip}:8080"
        self.config = self.dir / "config.yaml"
        self.configure(config)
        self.env = {}  # of the server's own
        self.proc = None
        if start:
            self.start()

    def configure(self, config):
        self.config.write_text(f"server_url: {self.url}\nlog:\n  level: debug\n" + config)

    def start(self):
        self.proc = self.host.spawn(
            self.world.hatsize, "serve", "--config", self.config, "--data-dir", self.dir / "data",
            log=self.log, env={**self.world.sanitizer_env(self.dir / "sanitizer"), **self.env})
        wait_for("the server answers /health", self.is_up, timeout=30)

    def is_up(self):
        if self.proc.poll() is not None:
            raise Failure(f"the server ended with {self.proc.returncode}:\n{self.tail()}")
        return self.cli("health", check=False).returncode == 0

    def stop(self, sig=signal.SIGTERM):
        self.host.end(self.proc, sig, wait=20)

    def kill(self):
        """As power loss does it, as far as the process is concerned."""
        self.stop(signal.SIGKILL)

    def cli(self, *argv, check=True, timeout=30):
        return self.host.run(self.world.hatsize, *argv, "--config", self.config, "--data-dir",
                             self.dir / "data", check=check, timeout=timeout)

    def json(self, *argv):
        return json.loads(self.cli(*argv, "-o", "json").stdout or "null")

    def user(self, name):
        """The user's id; made if there is none."""
        for user in self.json("users", "list"):
            if user["name"] == name:
                return user["id"]
        return self.json("users", "create", name)["id"]

    def auth_key(self, user="alice", *flags):
        return self.json("preauthkeys", "create", "--user", self.user(user), *flags)["key"]

    def tags_key(self, *tags):
        return self.json("preauthkeys", "create", "--tags", ",".join(tags))["key"]

    def policy(self, policy, check=True, seen_by=()):
        """Sets the policy, a dict or a text; the command's outcome. Waits until the SSH rules of these clients
        are other ones."""
        path = self.dir / "policy.hujson"
        path.write_text(policy if isinstance(policy, str) else json.dumps(policy, indent=2))
        before = [c.netmap().get("SSHPolicy") for c in seen_by]
        done = self.cli("policy", "set", "-f", path, check=check)
        for c, had in zip(seen_by, before):
            wait_for(f"{c.name} has its new SSH rules", lambda: c.netmap().get("SSHPolicy") != had)
        return done

    def tables(self, *without):
        """What it keeps, as its export has it."""
        every = json.loads(self.cli("export").stdout)["tables"]
        return {name: rows for name, rows in every.items() if name not in without}

    def nodes(self):
        return self.json("nodes", "list")

    def node(self, name):
        for node in self.nodes():
            if node["givenName"] == name:
                return node
        raise Failure(f"no node {name}: {[n['givenName'] for n in self.nodes()]}")

    def rss_kib(self):
        text = pathlib.Path(f"/proc/{self.pid()}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text).group(1))

    def pid(self):
        # `ip netns exec` becomes the program it starts.
        return self.proc.pid

    def tail(self, lines=40):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""
