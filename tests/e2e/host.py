"""Namespaces with legs on bridges, and what runs in them."""
import os
import pathlib
import shutil
import signal
import subprocess

from common import sh


NET = "10.77.0"  # the bridge's /24; namespaces only

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


def certificate(host, cert, key, name, san=None):
    """A self-signed one of these two files, for two days; by default for the host's address."""
    host.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
             "-out", cert, "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={san or f'IP:{host.ip}'}")
