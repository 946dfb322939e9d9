"""Official clients, and log-ins by SSH from them."""
import json
import re
import shutil
import signal
import subprocess
import time

from common import Failure, sh, wait_for
from host import Host


ASK = """import socket,sys
proto,ip,port,text,timeout=sys.argv[1:]
kind=socket.SOCK_STREAM if proto=="tcp" else socket.SOCK_DGRAM
s=socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET,kind)
s.settimeout(float(timeout))
s.connect((ip,int(port)))
s.send(text.encode())
print(s.recv(65536).decode())
"""


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
