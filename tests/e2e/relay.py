"""`hatsize-derp`, maps of such relays, and somebody who comes over and over."""
import re
import signal

from common import Failure, wait_for
from host import Host


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
