"""A small internet in network namespaces, a Hatsize server in it, and official clients around it.

Everything a scenario makes hangs off one World, which removes it again: namespaces, processes (by their
ids), folders. Nothing leaves the machine: the namespaces are joined by one bridge of their own.

    world = World(...)
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
"""
import os
import pathlib
import re
import shutil
import signal
import tempfile

# All of it is to be had from here.
from client import Client, Ssh  # noqa: F401
from common import Broken, Failure, Skipped, built, cache, expect, from_packages, never, nevers, sh, wait_for  # noqa: F401
from host import NET, Bridge, Host, certificate  # noqa: F401
from relay import Relay, Visits, relay_config  # noqa: F401
from server import POLICY_IN_DATABASE, Server  # noqa: F401


class World:
    _count = 0

    def __init__(self, hatsize, clients, keep=False, pebble="", oidc=""):
        World._count += 1
        self.pebble, self.oidc = pebble, oidc
        self.here = pathlib.Path(__file__).parent
        self.client_env = {}  # for clients that are started from now on
        self.tag = f"{os.getpid() % 10000}{World._count % 10}"
        self.hatsize = pathlib.Path(hatsize)
        self.clients_dirs = [pathlib.Path(c) for c in clients]
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hatsize-e2e-"))
        self.keep = keep
        self.hosts, self.clients, self.relays = [], [], []
        self.number = 0
        self.the_server = None
        self.bridge = Bridge(self, "net")

    def next_number(self):
        self.number += 1
        return self.number

    def next_ip(self):
        """The address of the host that is made next."""
        return f"{NET}.{self.number + 1}"

    def client_dir(self, version=None):
        """The folder of a version ("1.90"), or of each in turn so that releases are mixed."""
        if version is None:
            return self.clients_dirs[len(self.clients) % len(self.clients_dirs)]
        for path in self.clients_dirs:
            if path.name.startswith(version):
                return path
        raise Failure(f"no client {version} among {[p.name for p in self.clients_dirs]}")

    def sanitizer_env(self, log):
        return {"ASAN_OPTIONS": f"log_path={log}:detect_leaks=1:abort_on_error=0:exitcode=66",
                "UBSAN_OPTIONS": f"log_path={log}:print_stacktrace=1:halt_on_error=1:exitcode=66",
                "LSAN_OPTIONS": f"log_path={log}:exitcode=66",
                "TSAN_OPTIONS": f"log_path={log}:exitcode=66"}

    def server(self, config="", **how):
        self.the_server = Server(self, config, **how)
        return self.the_server

    def client(self, name, version=None, up=True, user="alice", flags=(), host=None, key_flags=()):
        client = Client(self, name, version, host)
        self.clients.append(client)
        if up:
            client.up(self.the_server.auth_key(user, *key_flags), *flags)
        return client

    def router(self, name, *legs, version=None):
        """A client that forwards between the internet and further networks, (bridge, net) each; it joins by up()."""
        host = Host(self, name)
        for leg in legs:
            host.add_leg(*leg)
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        return self.client(name, version, up=False, host=host)

    def relayed_pair(self):
        """Two clients that reach each other through a relay, and answer on TCP."""
        pair = [self.client(name, up=False) for name in ("anna", "bert")]
        for client in pair:
            client.host.block_direct()
            client.up(self.the_server.auth_key())
            client.serve_tcp()
        a, b = pair
        a.wait_ping(b.ip4())
        a.check_tcp(b.ip4())
        if a.path_to(b.ip4()) != "relay":
            raise Failure("anna to bert is not through the relay")
        return pair

    def network(self, name):
        """A further switch, for what lies behind a router."""
        return Bridge(self, name)

    def relay(self, name):
        return Relay(self, name)

    def programs(self):
        """Those of ours that may still run or have ended: the server and the relays."""
        return [p for p in (self.the_server, *self.relays) if p]

    def reports(self):
        """What sanitizers wrote of them."""
        return [path for program in self.programs() for path in program.dir.glob("sanitizer*")]

    def check_server(self):
        """No sanitizer had anything to say, no key is in a log."""
        for relay in self.relays:
            relay.stop()
        for path in self.reports():
            raise Broken(f"sanitizer report:\n{path.read_text()[:6000]}")
        for program in self.programs():
            text = program.log.read_text(errors="replace") if program.log.exists() else ""
            leaked = re.search(r"privkey:[0-9a-f]|hskey-auth-[0-9a-f]{12}-[0-9a-f]|nodekey:[0-9a-f]{64}", text)
            if leaked:
                raise Broken(f"a log holds a key: {leaked.group(0)[:24]}…")

    def remove(self):
        for client in self.clients:
            client.stop()
        server = self.the_server
        if server and server.proc and server.proc.poll() is None:
            server.stop()
        for host in reversed(self.hosts):
            host.remove()
        if not self.keep:
            shutil.rmtree(self.dir, ignore_errors=True)

    def broke(self):
        """Whether one of our programs ended by itself, or a sanitizer had something to say."""
        ended = (p.proc.poll() for p in self.programs() if p.proc)
        return bool(self.reports()) or any(how not in (None, 0, -signal.SIGTERM, -signal.SIGKILL) for how in ended)

    def explain(self):
        """What a person wants to see after a failure."""
        parts = []
        if self.the_server:
            parts.append(f"--- server log ---\n{self.the_server.tail()}")
            if self.the_server.proc and self.the_server.proc.poll() is not None:
                parts.append(f"--- the server ended with {self.the_server.proc.returncode} ---")
        for path in self.reports():
            parts.append(f"--- {path.name} ---\n{path.read_text(errors='replace')[:6000]}")
        for relay in self.relays:
            parts.append(f"--- {relay.name} log ---\n{relay.tail()}")
        for client in self.clients:
            parts.append(f"--- {client.name} ({client.version}) log ---\n{client.tail()}\n{client.held()}")
        return "\n".join(parts)
