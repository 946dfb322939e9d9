"""The official relay asks the server whom to admit: its nodes, and nobody else."""
import json
import re

from world import Failure, Host, Server, built, relay_config, wait_for


class Derper:
    """Official, with a certificate of its own making that relay maps pin."""

    def __init__(self, world, program):
        self.program, self.name = program, "derper"
        self.world, self.host, self.dir = world, Host(world, "derper"), world.dir / "derper"
        self.dir.mkdir()
        self.log, self.proc = self.dir / "none", None  # ours are searched for keys; the official relay writes some
        self.said = self.dir / "said"
        world.relays.append(self)

    def start(self, url):
        self.proc = self.host.spawn(
            self.program, "-c", self.dir / "key", "-certmode", "manual", "-certdir", self.dir / "certs", "-hostname",
            self.host.ip, "-a", ":443", "-verify-client-url", url, "-verify-client-url-fail-open=false", log=self.said)
        pin = lambda: re.search(r"sha256-raw:[0-9a-f]{64}", self.text())
        self.pin = wait_for("the official relay makes its certificate", pin).group(0)

    def stop(self):
        self.proc and self.host.end(self.proc)

    def node(self, region):
        return (f"      - name: derper\n        regionid: {region}\n        hostname: {self.host.ip}\n"
                f"        ipv4: {self.host.ip}\n        ipv6: none\n        certname: {self.pin}\n"
                f"        stunport: 3478\n        derpport: 443\n        canport80: true\n")

    def text(self):
        return self.said.read_text(errors="replace") if self.said.exists() else ""

    def tail(self, lines=30):
        return "\n".join(self.text().splitlines()[-lines:])

    def clients(self):
        text = self.host.run("curl", "-sk", "https://127.0.0.1/debug/vars", check=False).stdout
        return json.loads(text)["derp"]["gauge_current_connections"]


def run(world):
    program = built("derper", "derper")
    relay = Derper(world, program)
    relay.start(f"http://{world.next_ip()}:8080/verify")
    server = world.server(relay_config(world, (910, [relay])))
    # headscale.md 11 #105
    # 1.82 takes no self-signed certificate of an official relay, which sends a second one.
    a, b = (world.client(name, version, up=False) for name, version in (("anna", "1.90"), ("bert", "1.102")))
    for client in (a, b):
        client.host.block_direct()
        client.up(server.auth_key())
        client.serve_tcp()
    a.wait_ping(b.ip4())
    a.check_tcp(b.ip4())
    b.check_tcp(a.ip4())
    wait_for("both are at the official relay", lambda: relay.clients() == 2)

    # A client of somebody else's server, whose relay map names this relay.
    other = Server(world, relay_config(world, (910, [relay])), name="other")
    eve = world.client("eve", "1.102", up=False)
    eve.ts("up", f"--login-server={other.url}", "--hostname=eve", f"--auth-key={other.auth_key('eve')}", "--timeout=5s",
           check=False)
    wait_for("the official relay refuses eve", lambda: re.search(r"admission controller: .* not allowed", relay.text()))
    if relay.clients() != 2:
        raise Failure("somebody else than anna and bert is connected")
    other.stop()
