"""hatsize serve with certificates by ACME: HTTP-01, TLS-ALPN-01; clients over https; renewal and SIGHUP drop nobody."""
import os
import signal

from authority import LIFE_S, Authority, Held
from world import Failure, wait_for

NEEDS_PEBBLE = True
END = "hatsize_acme_certificate_end_seconds"


def code(host, ca, url, address, *flags):
    """The status that somebody gets who trusts the authority alone; 000 is a refused handshake."""
    port = 80 if url.startswith("http:") else 443
    name = url.split("/")[2]
    return host.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "--cacert", ca.root,
                    "--resolve", f"{name}:{port}:{address}", *flags, url, check=False).stdout.strip()


def metric(server, name):
    for line in server.host.run("curl", "-s", "http://127.0.0.1:9090/metrics").stdout.splitlines():
        if line.startswith(name + " "):
            return int(line.split()[1])
    return 0


def run(world):
    server = world.server(url="https://vpn.test", start=False)
    ca = Authority(world, vpn_test=server.host.ip)
    acme = ("listen_addr: 0.0.0.0:443\nmetrics_listen_addr: 127.0.0.1:9090\ntls_letsencrypt_hostname: vpn.test\n"
            f"acme_url: {ca.url}\nacme_ca_file: {ca.cert}\nacme_email: operator@vpn.test\n")
    cache = server.dir / "cache"

    # HTTP-01, headscale's default, with a folder of one's own.
    server.configure(acme + f"tls_letsencrypt_cache_dir: {cache}\ntls_letsencrypt_listen: \":http\"\n")
    server.start()
    wait_for("a certificate by HTTP-01",
             lambda: code(ca.host, ca, "https://vpn.test/health", server.host.ip) == "200")
    if "TLS-ALPN-01" in server.log.read_text(errors="replace"):
        raise Failure("TLS-ALPN-01 was tried, which nobody asked for")
    got = code(ca.host, ca, "http://vpn.test/register/x?y=1", server.host.ip)
    if got != "302 https://vpn.test/register/x?y=1":
        raise Failure(f"port 80 says {got}")
    if not code(ca.host, ca, "http://vpn.test/.well-known/acme-challenge/nosuch", server.host.ip).startswith("404"):
        raise Failure("a challenge that nobody made has an answer")
    if code(ca.host, ca, "https://other.test/health", server.host.ip) != "000":
        raise Failure("it answers to another name")
    for name in ("acme_account+key", "vpn.test"):
        if (cache / name).stat().st_mode & 0o77:
            raise Failure(f"others may read {name}")

    # TLS-ALPN-01, through the port that clients use; nobody listens on port 80 any more.
    server.stop()
    server.configure(acme + "tls_letsencrypt_challenge_type: TLS-ALPN-01\n")
    server.start()
    wait_for("a certificate by TLS-ALPN-01",
             lambda: code(ca.host, ca, "https://vpn.test/health", server.host.ip) == "200")
    if code(ca.host, ca, "http://vpn.test/", server.host.ip) != "000":
        raise Failure("somebody listens on port 80")
    if not (server.dir / "data" / "acme" / "vpn.test").exists():
        raise Failure("the certificate is not in the data folder")

    # Clients that know nothing but the name and the authority; the relay is behind the same certificate.
    world.client_env = {"SSL_CERT_FILE": str(ca.root), "SSL_CERT_DIR": "/nonexistent"}
    a, b = (world.client(name, up=False) for name in ("anna", "bert"))
    for client in (a, b):
        client.knows(vpn_test=server.host.ip)
        client.host.block_direct()
        client.up(server.auth_key())
        client.serve_tcp()
    a.wait_ping(b.ip4())
    a.check_tcp(b.ip4())
    if a.path_to(b.ip4()) != "relay":
        raise Failure("anna to bert is not through the relay")

    # Renewed in time, by itself; read again at SIGHUP; nobody had to connect anew.
    held = Held(ca, "vpn.test", server.host.ip, "/health")
    end = metric(server, END)
    wait_for("the certificate is renewed", timeout=LIFE_S + 15, every=1,
             probe=lambda: metric(server, END) > end > 0)
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("certificates were read again", lambda: "certificates read again" in server.log.read_text(errors="replace"))
    a.check_tcp(b.ip4())
    b.check_tcp(a.ip4())
    held.check()
    if code(ca.host, ca, "https://vpn.test/health", server.host.ip) != "200":
        raise Failure("the renewed certificate is not served")

    # A restart uses what is there.
    asked = server.log.read_text(errors="replace").count("asking for a certificate")
    server.stop()
    server.start()
    a.wait_ping(b.ip4())
    if server.log.read_text(errors="replace").count("asking for a certificate") != asked:
        raise Failure("a restart asked for a certificate that was there")
