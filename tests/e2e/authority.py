"""A certificate authority that speaks ACME: Let's Encrypt's own test server."""
import json
import re

from world import Host, certificate, wait_for

LIFE_S = 36  # of a certificate: renewed after two thirds


class Authority:
    """Pebble on a host of its own. It validates as Let's Encrypt does, and rejects every sixth nonce."""

    def __init__(self, world, **names):
        self.host = Host(world, "ca")
        self.host.knows(**names)
        self.dir = world.dir / "ca"
        self.dir.mkdir()
        self.log = self.dir / "log"
        self.url = f"https://{self.host.ip}:14000/dir"
        self.cert, self.root = self.dir / "ca.crt", self.dir / "root.pem"
        certificate(self.host, self.cert, self.dir / "ca.key", "pebble")
        profile = {"description": "short, so that renewal is seen", "validityPeriod": LIFE_S}
        (self.dir / "config.json").write_text(json.dumps({"pebble": {
            "listenAddress": f"{self.host.ip}:14000", "managementListenAddress": f"{self.host.ip}:15000",
            "certificate": str(self.cert), "privateKey": str(self.dir / "ca.key"), "httpPort": 80, "tlsPort": 443,
            "profiles": {"shortlived": profile}}}))
        self.host.spawn(world.pebble, "-config", self.dir / "config.json", log=self.log,
                        env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "17", "PEBBLE_AUTHZREUSE": "0"})
        wait_for("pebble tells its root", self.fetch_root)

    def fetch_root(self):
        done = self.host.run("curl", "-sf", "--cacert", self.cert, f"https://{self.host.ip}:15000/roots/0", check=False)
        self.root.write_text(done.stdout)
        return done.returncode == 0 and "BEGIN CERTIFICATE" in done.stdout


HOLD = """import http.client,socket,ssl,sys,time
name,ip,port,ca,path=sys.argv[1:]
tls=ssl.create_default_context(cafile=ca).wrap_socket(socket.create_connection((ip,int(port)),timeout=20),
                                                      server_hostname=name)
c=http.client.HTTPConnection(name)
c.sock=tls
while True:
    c.request("GET",path)
    answer=c.getresponse()
    answer.read()
    if c.sock is not tls: break
    print("answer",answer.status,flush=True)
    time.sleep(0.5)
print("broken",flush=True)
"""


class Held:
    """One connection that somebody keeps using while certificates change."""

    def __init__(self, ca, name, address, path, port=443):
        self.what = f"{ca.dir}/held-{name}-{port}"
        self.proc = ca.host.spawn("python3", "-c", HOLD, name, address, port, ca.root, path, log=self.what)
        wait_for("a connection is held", lambda: self.answers() > 0)

    def answers(self):
        with open(self.what, encoding="utf-8") as log:
            return len(re.findall(r"^answer 200$", log.read(), re.M))

    def check(self):
        """It still is the same connection, and answers."""
        before = self.answers()
        wait_for("the connection that was held goes on", lambda: self.answers() > before, timeout=10)
