"""Certificates by ACME from Let's Encrypt's own test server: TLS-ALPN-01, HTTP-01, addresses; clients over them; renewal drops nobody."""
import re

from authority import LIFE_S, Authority, Held
from world import Failure, relay_config, wait_for

NEEDS_PEBBLE = True


def served(host, ca, url, address):
    """Whether somebody who trusts the authority alone gets an answer from there."""
    where = re.match(r"https://([^/:]+)(?::(\d+))?", url)
    done = host.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", ca.root, "--resolve",
                    f"{where.group(1)}:{where.group(2) or 443}:{address}", f"{url}/derp/probe", check=False)
    return done.stdout == "200"


def run(world):
    relay = world.relay("relay1")
    ca = Authority(world, relay_test=relay.host.ip)
    flags = ("-certmode", "letsencrypt", "-hostname", "relay.test", "-certdir", relay.dir / "acme",
             "-acme-directory", ca.url, "-acme-ca-file", ca.cert, "-acme-email", "operator@relay.test")
    relay.tls_name = "relay.test"

    # Without port 80, so by TLS-ALPN-01, through the port that clients use.
    relay.start(*flags, "-http-port", "-1")
    wait_for("a certificate by TLS-ALPN-01", lambda: "got a certificate name=relay.test" in relay.text())
    wait_for("it is served", lambda: served(ca.host, ca, "https://relay.test", relay.host.ip))
    if served(ca.host, ca, "https://other.test", relay.host.ip):
        raise Failure("it answers to another name")
    for name in ("acme_account+key", "relay.test"):
        if (relay.dir / "acme" / name).stat().st_mode & 0o77:
            raise Failure(f"others may read {name}")

    # Clients that know nothing but the name and the authority.
    node = (f"      - name: a\n        regionid: 910\n        hostname: relay.test\n        ipv4: {relay.host.ip}\n"
            "        ipv6: none\n        stunport: 3478\n        derpport: 443\n")
    relay.node = lambda region: node
    world.client_env = {"SSL_CERT_FILE": str(ca.root), "SSL_CERT_DIR": "/nonexistent"}
    world.server(relay_config(world, (910, [relay])))
    a, b = world.relayed_pair()

    # Renewed in time, by itself, again and again; nobody had to connect anew.
    held = Held(ca, "relay.test", relay.host.ip, "/derp/probe")
    end = relay.metric("hatsize_acme_certificate_end_seconds")
    wait_for("the certificate is renewed", timeout=LIFE_S + 15, every=1,
             probe=lambda: relay.metric("hatsize_acme_certificate_end_seconds") > end)
    a.check_tcp(b.ip4())
    b.check_tcp(a.ip4())
    held.check()
    if not served(ca.host, ca, "https://relay.test", relay.host.ip):
        raise Failure("the renewed certificate is not served")
    if relay.metric("hatsize_acme_failures_total") != 0:
        raise Failure("attempts failed")

    # A restart uses what is there.
    asked = relay.text().count("asking for a certificate")
    relay.stop()
    relay.start()
    a.wait_ping(b.ip4())
    if relay.text().count("asking for a certificate") != asked:
        raise Failure("a restart asked for a certificate that was there")

    # Where port 443 is somebody else's, by HTTP-01; and certificates for the addresses that clients reach.
    relay.stop()
    by_http = (*flags, "-certdir", relay.dir / "acme2", "-acme-ip-certs", "-a", ":8443")
    relay.start(*by_http)
    wait_for("a certificate by HTTP-01", lambda: served(ca.host, ca, "https://relay.test:8443", relay.host.ip))
    text = ca.log.read_text(errors="replace")
    if text.count("set VALID") < 2 or "set INVALID" not in text:
        raise Failure("TLS-ALPN-01 was not tried before")
    url = f"https://{relay.host.ip}:8443"
    if served(ca.host, ca, url, relay.host.ip):
        raise Failure("the address has a certificate that nobody asked for")
    wait_for("one for the address", lambda: served(ca.host, ca, url, relay.host.ip))
    if not (relay.dir / "acme2" / f"{relay.host.ip}.crt").exists():
        raise Failure("the address's certificate is not kept")
