"""A small internet in network namespaces, a Hatsize server in it, and official clients around it.

Everything a scenario makes hangs off one World, which removes it again: namespaces, processes (by their
ids), folders. Nothing leaves the machine: the namespaces are joined by one bridge of their own.

    world = World(...)
    server = world.server()
    alice, bob = world.client("alice"), world.client("bob")
"""
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

NET = "10.77.0"  # the bridge's /24; namespaces only


# Faults of official clients that have nothing to do with the server: what their trace says of it, and what happened.
CLIENT_FAULTS = {
    "linuxfw.removeAcceptOnPortRule": "broke off over a firewall rule that was not there, as a network interface changed",
}


class Failure(Exception):
    """A scenario did not see what it must."""


class Broken(Failure):
    """One of our programs did what it never may."""


class Skipped(Exception):
    """This machine cannot show what the scenario is about."""


def sh(*argv, check=True, timeout=60, input=None):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, input=input)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def expect(what, holds, *shown):
    if not holds:
        raise Failure(f"{what}: " + " ".join(str(s)[:3000] for s in shown))


def wait_for(what, probe, timeout=30.0, every=0.1):
    """Waits until probe() is truthy and returns it; Failure naming `what` otherwise."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = probe()
            if value:
                return value
        except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as err:
            last = err
        if time.monotonic() > end:
            raise Failure(f"not within {timeout:g} s: {what}" + (f"\nlast: {last}" if last else ""))
        time.sleep(every)


def never(what, probe):
    """Failure naming `what` if probe() is truthy; the probe gives up by itself."""
    if probe():
        raise Failure(what)


def nevers(*cases):
    """never() for each (what, probe), all at a time: each waits for nothing to come."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for (what, _), happened in list(zip(cases, pool.map(lambda case: case[1](), cases))):
            never(what, lambda: happened)


def cache():
    """Where what took long to get is kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("HATSIZE_CACHE") or f"{base}/hatsize")


def built(kind, program):
    """The program that scripts/clients gave last (`scripts/clients KIND`); the scenario is skipped without it."""
    found = list(cache().glob(f"{kind}/*/{program}"))
    if not found:
        raise Skipped(f"no {program} was built (scripts/clients {kind})")
    return max(found, key=lambda path: path.stat().st_mtime)


def from_packages(name, wanted, program):
    """A program out of Python packages, pinned in the file `wanted` beside this one, in a virtual environment of its own
    that is made when it is not there yet; the scenario is skipped when it cannot be."""
    wanted = pathlib.Path(__file__).parent / wanted
    room = cache() / name / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    if not (room / "ready").exists():
        shutil.rmtree(room, ignore_errors=True)
        for argv in ([sys.executable, "-m", "venv", str(room)],
                     [str(room / "bin/pip"), "install", "-q", "--only-binary", ":all:", "-r", str(wanted)]):
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
            except (OSError, subprocess.TimeoutExpired) as err:
                raise Skipped(f"{name} cannot be had: {err}") from None
            if done.returncode != 0:
                raise Skipped(f"{name} cannot be had: {done.stderr.strip()[-200:]}")
        (room / "ready").touch()
    return room / "bin" / program


def certificate(host, cert, key, name, san=None):
    """A self-signed one of these two files, for two days; by default for the host's address."""
    host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
             "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={san or f'IP:{host.ip}'}")


POLICY_IN_DATABASE = "policy:\n  mode: database\n"

ECHO = """import selectors,socket,sys
sel=selectors.DefaultSelector()
for word in sys.argv[1:]:
    proto,port=word.split(":")
    if proto=="tcp":
        s=socket.create_server(("::",int(port)),family=socket.AF_INET6,dualstack_ipv6=True)
    else:
        s=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM)
        s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0)
        s.bind(("::",int(port)))
    sel.register(s,selectors.EVENT_READ,proto)
while True:
    for key,_ in sel.select():
        s=key.fileobj
        if key.data=="tcp":
            c,_=s.accept()
            sel.register(c,selectors.EVENT_READ,"conn")
        elif key.data=="udp":
            d,a=s.recvfrom(65536)
            s.sendto(d.upper(),a)
        else:
            try:
                d=s.recv(65536)
                d and s.sendall(d.upper())
            except OSError:
                d=b""
            if not d:
                sel.unregister(s)
                s.close()
"""
ASK = """import socket,sys
proto,ip,port,text,timeout=sys.argv[1:]
kind=socket.SOCK_STREAM if proto=="tcp" else socket.SOCK_DGRAM
s=socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET,kind)
s.settimeout(float(timeout))
s.connect((ip,int(port)))
s.send(text.encode())
print(s.recv(65536).decode())
"""


class Host:
    """A namespace with one leg on a bridge."""

    def __init__(self, world, name, net=NET, bridge=None):
        self.world, self.name = world, name
        self.ns = f"hz{world.tag}-{name}"
        self.procs = []
        world.hosts.append(self)
        sh("ip", "netns", "add", self.ns)
        os.makedirs(f"/etc/netns/{self.ns}", exist_ok=True)
        pathlib.Path(f"/etc/netns/{self.ns}/resolv.conf").write_text("nameserver 127.0.0.53\n")
        self.run("ip", "link", "set", "lo", "up")
        self.legs = 0
        self.ip = self.add_leg(bridge or world.bridge, net)

    def add_leg(self, bridge, net):
        """Joins a bridge; returns the address it got there."""
        self.legs += 1
        dev = f"eth{self.legs - 1}"
        number = self.world.next_number()
        outer, inner = f"hz{self.world.tag}o{number}", f"hz{self.world.tag}i{number}"
        sh("ip", "link", "add", outer, "type", "veth", "peer", "name", inner)
        sh("ip", "link", "set", outer, "netns", bridge.ns)
        bridge.run("ip", "link", "set", outer, "master", "br0", "up")
        sh("ip", "link", "set", inner, "netns", self.ns)
        self.run("ip", "link", "set", inner, "name", dev)
        # Clients shall meet over what the scenario says, not over link-local IPv6.
        self.run("sysctl", "-qw", f"net.ipv6.conf.{dev}.disable_ipv6=1")
        ip = f"{net}.{number}"
        self.run("ip", "addr", "add", f"{ip}/24", "dev", dev)
        self.run("ip", "link", "set", dev, "up")
        return ip

    def run(self, *argv, check=True, timeout=60, input=None):
        return sh("ip", "netns", "exec", self.ns, *argv, check=check, timeout=timeout, input=input)

    def spawn(self, *argv, log, env=None):
        """Starts a program in the namespace; the world ends it."""
        out = open(log, "ab")
        proc = subprocess.Popen(
            ["ip", "netns", "exec", self.ns, *map(str, argv)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, env={**os.environ, **(env or {})},
        )
        out.close()
        self.procs.append(proc)
        return proc

    def end(self, proc, sig=signal.SIGTERM, wait=10):
        if proc.poll() is None:
            proc.send_signal(sig)
            try:
                proc.wait(wait)
            except subprocess.TimeoutExpired:
                proc.kill()
                proc.wait(wait)
        if proc in self.procs:
            self.procs.remove(proc)

    def echo(self, *ports):
        """Answers what comes to "tcp:7001", "udp:7002"… in upper case, in both families."""
        return self.spawn("python3", "-c", ECHO, *ports, log=self.world.dir / f"{self.name}-echo.log")

    def knows(self, **names):
        """What is started here from now on knows these names: name=address, "_" for "."."""
        lines = [f"{address} {name.replace('_', '.')}\n" for name, address in names.items()]
        pathlib.Path(f"/etc/netns/{self.ns}/hosts").write_text("127.0.0.1 localhost\n" + "".join(lines))

    def block_direct(self):
        """Nothing but to the server and the relays: what is left is what these carry."""
        hosts = [self.world.the_server.host.ip, *(relay.host.ip for relay in self.world.relays)]
        allowed = "{ " + ", ".join(hosts) + " }"
        self.run("nft", "-f", "-", input=f"""
            table inet blockdirect {{
                chain out {{ type filter hook output priority -10;
                    oifname "eth*" ip daddr != {allowed} drop; }}
                chain in {{ type filter hook input priority -10;
                    iifname "eth*" ip saddr != {allowed} drop; }}
            }}""")

    def unblock_direct(self):
        self.run("nft", "delete", "table", "inet", "blockdirect", check=False)

    def remove(self):
        for proc in list(self.procs):
            self.end(proc, signal.SIGTERM, 5)
        # What those started and left behind, a client's file server say, or one that gave up its user.
        for pid in sh("ip", "netns", "pids", self.ns, check=False).stdout.split():
            sh("kill", "-KILL", pid, check=False)
        sh("ip", "netns", "del", self.ns, check=False)
        shutil.rmtree(f"/etc/netns/{self.ns}", ignore_errors=True)


class Bridge(Host):
    """A switch."""

    def __init__(self, world, name):
        self.world, self.name, self.procs = world, name, []
        self.ns = f"hz{world.tag}-{name}"
        world.hosts.append(self)
        sh("ip", "netns", "add", self.ns)
        self.run("ip", "link", "add", "br0", "type", "bridge")
        self.run("ip", "link", "set", "br0", "up")


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


class Relay:
    """`hatsize-derp` on a host of its own, with a self-signed certificate that relay maps pin."""

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.host = Host(world, name)
        self.dir = world.dir / name
        self.dir.mkdir()
        self.log = self.dir / "log"
        self.proc, self.flags = None, ()
        self.tls_name = "127.0.0.1"  # what a client on its own machine asks for
        world.relays.append(self)
        # Once without anybody, for the certificate and its hash.
        self.start()
        self.pin = re.search(r"CertName=(sha256-raw:[0-9a-f]{64})", self.text()).group(1)
        self.stop()

    def start(self, *flags):
        """With these flags, or with those of the last time."""
        self.flags = flags or self.flags
        before = self.text().count(" relaying ")
        self.proc = self.host.spawn(
            self.world.hatsize.with_name("hatsize-derp"), "-c", self.dir / "key", "-certmode", "manual",
            "-certdir", self.dir / "certs", "-hostname", self.host.ip, "-log-level", "debug", *self.flags,
            log=self.log, env=self.world.sanitizer_env(self.dir / "sanitizer"))
        wait_for(f"{self.name} relays", lambda: self.is_up(before), timeout=30)

    def is_up(self, before):
        if self.proc.poll() is not None:
            raise Failure(f"the relay ended with {self.proc.returncode}:\n{self.tail()}")
        return self.text().count(" relaying ") > before

    def stop(self, sig=signal.SIGTERM):
        self.host.end(self.proc, sig)

    def node(self, region):
        """Its lines in a relay map."""
        return (f"      - name: {self.name}\n        regionid: {region}\n        hostname: {self.host.ip}\n"
                f"        ipv4: {self.host.ip}\n        ipv6: none\n        certname: {self.pin}\n"
                f"        stunport: 3478\n        derpport: 443\n        canport80: true\n")

    def metric(self, name):
        """A number of /metrics, which only its own machine may see."""
        own = self.tls_name
        text = self.host.run("curl", "-sk", "--resolve", f"{own}:443:127.0.0.1", f"https://{own}/metrics").stdout
        found = re.search(rf"^{re.escape(name)} (-?\d+)$", text, re.M)
        return int(found.group(1)) if found else 0

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines=30):
        return "\n".join(self.text().splitlines()[-lines:])


def relay_config(world, *regions):
    """The server's configuration for relays of these regions, each (number, relays), and none of its own."""
    text = "regions:\n"
    for number, relays in regions:
        text += (f"  {number}:\n    regionid: {number}\n    regioncode: r{number}\n    regionname: Region {number}\n"
                 "    nodes:\n" + "".join(relay.node(number) for relay in relays))
    path = world.dir / "relays.yaml"
    path.write_text(text)
    return f"derp:\n  server:\n    enabled: false\n  paths:\n    - {path}\n"


# Comes over and over, each time with a TLS handshake and a page; says how often, and what went wrong.
VISITOR = """import socket,ssl,sys,time
c=ssl.create_default_context();c.check_hostname=False;c.verify_mode=ssl.CERT_NONE
good=0;end=time.time()+float(sys.argv[2])
while time.time()<end:
    try:
        with c.wrap_socket(socket.create_connection((sys.argv[1],443),timeout=60)) as s:
            s.sendall(b"GET /derp/probe HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n")
            assert s.recv(4096).startswith(b"HTTP/1.1 200"), "no answer"
            good+=1
    except Exception as e: print("refused", repr(e), flush=True)
    time.sleep(.005)
print("good", good)
"""


class Visits:
    """Somebody asks a relay for a page, over and over."""

    _count = 0

    def __init__(self, host, ip, seconds):
        Visits._count += 1
        self.log = host.world.dir / f"visits-{Visits._count}"
        self.proc = host.spawn("python3", "-c", VISITOR, ip, seconds, log=self.log)

    def check(self):
        """Waits for the end: each visit had its answer."""
        self.proc.wait(300)
        said = self.log.read_text()
        if "refused" in said or not re.search(r"good [1-9]", said):
            raise Failure(f"visits: {said[-1000:]}")


class Client:
    """An official client, tailscaled and its command line, on a host of its own."""

    def __init__(self, world, name, version=None, host=None):
        self.world, self.name = world, name
        self.bin = world.client_dir(version)
        self.version = self.bin.name
        self.host = host or Host(world, name)
        self.dir = world.dir / name
        self.dir.mkdir()
        self.socket = self.dir / "tailscaled.sock"
        self.log = self.dir / "log"
        self.proc = None
        self.start()

    def own_etc(self):
        """An /etc that the client may rewrite: resolv.conf and its backup are per machine, not per namespace."""
        etc = self.dir / "etc"
        if not etc.exists():
            # Without what is of other worlds, which come and go meanwhile.
            shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True,
                            ignore=shutil.ignore_patterns("netns"))
            (etc / "resolv.conf").unlink(missing_ok=True)
            (etc / "resolv.conf").write_text("nameserver 127.0.0.53\n")
        return etc

    def knows(self, **names):
        """From now on: name=address, "_" for "."."""
        with open(self.dir / "etc" / "hosts", "a") as hosts:
            hosts.writelines(f"{address} {name.replace('_', '.')}\n" for name, address in names.items())

    def inside(self, *argv, check=True):
        """Runs a program as the client's machine has it: its network and its /etc."""
        return sh("nsenter", f"--target={self.proc.pid}", "--mount", "--net", *argv, check=check)

    def start(self):
        self.proc = self.host.spawn(
            "sh", "-c", 'mount --bind "$1" /etc && shift && exec "$@"', "sh", self.own_etc(),
            self.bin / "tailscaled", "--tun=tailscale0", f"--statedir={self.dir}", f"--socket={self.socket}",
            "--port=41641", "--no-logs-no-support", log=self.log,
            env={"TS_NO_LOGS_NO_SUPPORT": "true", "TS_DEBUG_FIREWALL_MODE": "nftables", **self.world.client_env})
        wait_for(f"{self.name}: tailscaled listens", self.socket.exists)

    def stop(self, sig=signal.SIGTERM):
        self.host.end(self.proc, sig)

    def ts(self, *argv, check=True, timeout=60, input=None):
        return self.host.run(self.bin / "tailscale", f"--socket={self.socket}", *argv, check=check,
                             timeout=timeout, input=input)

    def up(self, key=None, *flags, timeout=60, hostname=None):
        argv = ["up", f"--login-server={self.world.the_server.url}", f"--hostname={hostname or self.name}",
                f"--timeout={timeout}s"]
        if key:
            argv.append(f"--auth-key={key}")
        self.ts(*argv, *flags, timeout=timeout + 10)
        return self

    def log_out(self):
        """With the tunnel down before: a client that takes it down meanwhile may cut its own request to the server, and
        then never gets out."""
        changes = lambda: self.log.read_text(errors="replace").count("link-change")
        before, end = changes(), time.monotonic() + 3
        self.ts("down")
        while changes() == before and time.monotonic() < end:
            time.sleep(0.05)
        self.ts("logout")

    def spawn_ts(self, *argv):
        """A command that runs for a while; its output goes to the log."""
        return self.host.spawn(self.bin / "tailscale", f"--socket={self.socket}", *argv, log=self.dir / "ts.log")

    def status(self):
        return json.loads(self.ts("status", "--json").stdout)

    def state(self):
        return self.status()["BackendState"]

    def wait_running(self, timeout=60):
        wait_for(f"{self.name} is Running", lambda: self.state() == "Running", timeout)

    def peers(self):
        """By host name in MagicDNS (first label)."""
        peers = self.status().get("Peer") or {}
        return {p["DNSName"].split(".")[0]: p for p in peers.values()}

    def peer(self, name):
        peers = self.peers()
        if name not in peers:
            raise Failure(f"{self.name} does not see {name}, only {sorted(peers)}")
        return peers[name]

    def wait_peer(self, name, timeout=20):
        return wait_for(f"{self.name} sees {name}", lambda: self.peers().get(name), timeout)

    def ip4(self):
        return next(ip for ip in self.status()["Self"]["TailscaleIPs"] if ":" not in ip)

    def ip6(self):
        return next(ip for ip in self.status()["Self"]["TailscaleIPs"] if ":" in ip)

    def ping(self, ip, count=1, timeout=5):
        """An ICMP echo through the tunnel."""
        return self.host.run("ping", "-n", "-c", count, "-W", timeout, ip, check=False,
                             timeout=count * timeout + 10).returncode == 0

    def wait_ping(self, ip, timeout=40):
        wait_for(f"{self.name} pings {ip}", lambda: self.ping(ip, timeout=2), timeout, every=0.2)

    def path_to(self, ip, timeout=10):
        """'direct' or 'relay', as `tailscale ping` says."""
        out = self.ts("ping", "--c=1", f"--timeout={timeout}s", "--until-direct=false", ip, check=False).stdout
        if " via DERP" in out:
            return "relay"
        return "direct" if "pong" in out else ""

    def wait_path(self, ip, want, timeout=40):
        wait_for(f"{self.name} reaches {ip}: {want}", lambda: self.path_to(ip) == want, timeout, every=0.5)

    def serve_tcp(self, port=7777):
        """Answers each TCP connection with what it sends, upper-cased, until the world ends it."""
        code = ("import socket,sys\n"
                "s=socket.create_server((sys.argv[1],int(sys.argv[2])))\n"
                "while True:\n"
                "  c,_=s.accept()\n"
                "  d=c.recv(65536)\n"
                "  c.sendall(d.upper()); c.close()\n")
        return self.host.spawn("python3", "-c", code, "0.0.0.0", port, log=self.dir / "tcp.log")

    def ask_tcp(self, ip, port=7777, text="hello", timeout=10):
        code = ("import socket,sys\n"
                "c=socket.create_connection((sys.argv[1],int(sys.argv[2])),timeout=float(sys.argv[4]))\n"
                "c.sendall(sys.argv[3].encode())\n"
                "print(c.recv(65536).decode())\n")
        done = self.host.run("python3", "-c", code, ip, port, text, timeout, check=False, timeout=timeout + 5)
        return done.stdout.strip()

    def check_tcp(self, ip, port=7777, timeout=30):
        wait_for(f"{self.name} has a TCP answer from {ip}:{port}",
                 lambda: self.ask_tcp(ip, port, "hello", 5) == "HELLO", timeout)

    def echo(self, *ports):
        return self.host.echo(*ports)

    def ask(self, proto, ip, port, timeout=2):
        """Whether an echo answers there."""
        done = self.host.run("python3", "-c", ASK, proto, ip, port, "hello", timeout, check=False,
                             timeout=timeout + 10)
        return done.stdout.strip() == "HELLO"

    def wait_ask(self, proto, ip, port, timeout=30):
        wait_for(f"{self.name} has an answer from {ip}, {proto} {port}", lambda: self.ask(proto, ip, port), timeout)

    def ssh(self, target, *command):
        """Starts `tailscale ssh` with host keys out of the map."""
        return Ssh(self, target, command)

    def netmap(self):
        return json.loads(self.ts("debug", "netmap").stdout)

    def held(self):
        """What it holds of its peers, for a person to read: by the map, and where packets go."""
        try:
            paths = {p["PublicKey"]: (p.get("CurAddr"), p.get("Relay"), p.get("Addrs")) for p in self.peers().values()}
            return "\n".join(f"{self.name} holds {p['Name']}: online {p.get('Online')}, home {p.get('HomeDERP')}, "
                             f"{p.get('DiscoKey')}, endpoints {p.get('Endpoints')}, path {paths.get(p['Key'])}"
                             for p in self.netmap().get("Peers") or [])
        except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as err:
            return f"{self.name}: {err}"

    def resolve(self, name, kind="A"):
        """What the client's own resolver says."""
        done = self.host.run("dig", "+short", "+time=2", "+tries=1", "@100.100.100.100", name, kind, check=False)
        return done.stdout.split()

    def tail(self, lines=30):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""


class Ssh:
    """One `tailscale ssh` under way."""

    _count = 0

    def __init__(self, client, target, command):
        Ssh._count += 1
        home = client.dir / "home"
        home.mkdir(exist_ok=True)
        self.what = f"{client.name}: ssh {target}"
        self.log = client.dir / f"ssh-{Ssh._count}.log"
        self.proc = client.host.spawn(client.bin / "tailscale", f"--socket={client.socket}", "ssh", target, *command,
                                      log=self.log, env={"HOME": str(home), "XDG_CONFIG_HOME": str(home)})

    def text(self):
        return self.log.read_text(errors="replace")

    def wait_text(self, text, timeout=20):
        def seen():
            if text not in self.text() and self.proc.poll() is not None:
                raise Failure(f"it ended with {self.proc.returncode}: {self.text()}")
            return text in self.text()
        try:
            wait_for(f'{self.what} shows "{text}"', seen, timeout)
        except Failure as err:
            raise Failure(f"{err}\nshown: {self.text()}") from None
        return self.text()

    def wait_end(self, timeout=20):
        """Its exit status."""
        wait_for(f"{self.what} ends", lambda: self.proc.poll() is not None, timeout)
        return self.proc.returncode

    def check_id(self):
        """The id that an administrator is to approve."""
        self.wait_text("hatsize ssh approve ")
        return re.search(r"hatsize ssh approve (\S+)", self.text()).group(1)


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

    def check_server(self):
        """No sanitizer had anything to say, no key is in a log."""
        for relay in self.relays:
            relay.stop()
        for program in (self.the_server, *self.relays):
            for path in program.dir.glob("sanitizer*"):
                raise Broken(f"sanitizer report:\n{path.read_text()[:6000]}")
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

    def client_fault(self):
        """A client that ended by a fault of its own that is known; None: none did."""
        for client in self.clients:
            text = client.log.read_text(errors="replace") if client.log.exists() else ""
            for words, why in CLIENT_FAULTS.items():
                if "\npanic: " in text and words in text:
                    return f"{client.name} ({client.version}) {why}"
        return None

    def broke(self):
        """Whether one of our programs ended by itself, or a sanitizer had something to say."""
        programs = [p for p in (self.the_server, *self.relays) if p]
        return any(p.proc and p.proc.poll() not in (None, 0, -signal.SIGTERM, -signal.SIGKILL) or list(
            p.dir.glob("sanitizer*")) for p in programs)

    def explain(self):
        """What a person wants to see after a failure."""
        parts = []
        if self.the_server:
            parts.append(f"--- server log ---\n{self.the_server.tail()}")
            if self.the_server.proc and self.the_server.proc.poll() is not None:
                parts.append(f"--- the server ended with {self.the_server.proc.returncode} ---")
            for path in self.the_server.dir.glob("sanitizer*"):
                parts.append(f"--- {path.name} ---\n{path.read_text(errors='replace')[:6000]}")
        for relay in self.relays:
            parts.append(f"--- {relay.name} log ---\n{relay.tail()}")
        for client in self.clients:
            parts.append(f"--- {client.name} ({client.version}) log ---\n{client.tail()}\n{client.held()}")
        return "\n".join(parts)
