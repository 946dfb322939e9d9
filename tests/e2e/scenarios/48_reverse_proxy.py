"""Behind nginx and haproxy, well and badly configured: real clients through them, and what `hatsize doctor` says."""
import json
import shutil

from world import Failure, Host, certificate, wait_for

NEEDS_PROGRAMS = ("nginx", "haproxy")

NGINX = """daemon off; pid {dir}/nginx.pid; error_log {dir}/error.log; worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
    uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    map $http_upgrade $only_websocket {{ default ''; websocket websocket; }}
    map $http_upgrade $only_websocket_connection {{ default close; websocket upgrade; }}
    server {{
        listen 80;
        listen 443 ssl;
        ssl_certificate {dir}/cert.pem;
        ssl_certificate_key {dir}/key.pem;
        location / {{ proxy_pass http://{server}:8080; {lines} }}
    }}
}}
"""
NGINX_GOOD = """
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header True-Client-IP "";
            proxy_buffering off;
            proxy_read_timeout 1h;
            proxy_send_timeout 1h;
"""
NGINX_WEBSOCKET_ONLY = NGINX_GOOD.replace("$http_upgrade;", "$only_websocket;").replace(
    "$connection_upgrade", "$only_websocket_connection")
HAPROXY = """global
    maxconn 256
defaults
    mode {mode}
    timeout connect 5s
    timeout client {patience}
    timeout server {patience}
    timeout http-request 10s
{tunnel}
frontend in
    bind :443 {tls}
    default_backend out
backend out
    {lines}
    server s {server}:8080 {options}
"""


class Proxy:
    """A host with one of them on it."""

    def __init__(self, world, name):
        self.world = world
        self.host = Host(world, name)
        self.dir = world.dir / name
        self.dir.mkdir(mode=0o755)
        self.proc = None
        self.cert = self.dir / "cert.pem"
        certificate(self.host, self.cert, self.dir / "key.pem", "proxy")
        (self.dir / "both.pem").write_text(self.cert.read_text() + (self.dir / "key.pem").read_text())

    def restart(self, *argv):
        if self.proc:
            self.host.end(self.proc)
        self.proc = self.host.spawn(*argv, log=self.dir / "log")
        wait_for("the proxy listens", lambda: self.host.run(
            "curl", "-sk", "-o", "/dev/null", "--connect-timeout", "5", "https://127.0.0.1/", check=False).returncode != 7)

    def nginx(self, server, lines):
        path = self.dir / "nginx.conf"
        path.write_text(NGINX.format(dir=self.dir, server=server, lines=lines))
        self.restart("nginx", "-c", path, "-e", self.dir / "error.log")

    def haproxy(self, server, mode="http", patience="10s", tunnel="    timeout tunnel 1h", lines="", options=""):
        path = self.dir / "haproxy.cfg"
        tls = f"ssl crt {self.dir}/both.pem" if mode == "http" else ""
        path.write_text(HAPROXY.format(server=server, mode=mode, patience=patience, tunnel=tunnel, lines=lines,
                                       options=options, tls=tls))
        self.restart("haproxy", "-db", "-f", path)


def doctor(server, *flags):
    """What it says, by check."""
    done = server.host.run("env", f"SSL_CERT_FILE={server.world.client_env['SSL_CERT_FILE']}", server.world.hatsize,
                           "doctor", "-o", "json", "--wait", "3", "--config", server.config, "--data-dir", server.dir / "data", *flags,
                           check=False, timeout=120)
    try:
        said = {line["check"]: line for line in json.loads(done.stdout)}
    except ValueError:
        raise Failure(f"doctor: exit {done.returncode}: {done.stdout}{done.stderr}") from None
    if (done.returncode == 0) != all(line["ok"] for line in said.values()):
        raise Failure(f"doctor's exit {done.returncode} does not fit: {said}")
    return said


def well(server, *flags):
    said = doctor(server, *flags)
    bad = [line for line in said.values() if not line["ok"]]
    # The proxies here carry no UDP.
    if [line for line in bad if line["check"] != "stun"]:
        raise Failure(f"doctor finds what is not there: {bad}")
    return said


def ill(server, check, *words, flags=()):
    line = doctor(server, *flags).get(check)
    if not line or line["ok"]:
        raise Failure(f"doctor does not find that {check} is broken: {line}")
    text = line["text"] + "\n" + line.get("advice", "")
    for word in words:
        if word not in text:
            raise Failure(f'doctor does not say "{word}": {text}')


def run(world):
    for program in NEEDS_PROGRAMS:
        if not shutil.which(program):
            raise Failure(f"no {program}: scripts/packages test")
    proxy = Proxy(world, "proxy")
    url = f"https://{proxy.host.ip}"
    world.client_env = {"SSL_CERT_FILE": str(proxy.cert), "SSL_CERT_DIR": "/nonexistent"}
    trusted = f"metrics_listen_addr: 127.0.0.1:9090\ntrusted_proxies:\n  - {proxy.host.ip}\n"
    server = world.server(trusted, url=url)
    to = server.host.ip

    # Nobody there, then somebody else.
    ill(server, "key", f"{url}/key", "make this URL reach the server")
    proxy.nginx(to, "return 200 'hello';")
    ill(server, "key", "it is not the server that does", "every path")

    # nginx as people write it first: no upgrade gets through.
    proxy.nginx(to, "")
    ill(server, "upgrade", "no machine can log in", "proxy_set_header Upgrade $http_upgrade",
        "map $http_upgrade $connection_upgrade")
    ill(server, "websocket", "clients in browsers")
    ill(server, "relay", "without a direct path", "proxy_http_version 1.1")
    # WebSocket alone is what many proxies are set up for.
    proxy.nginx(to, NGINX_WEBSOCKET_ONLY)
    ill(server, "upgrade", "no machine can log in")
    if not doctor(server)["websocket"]["ok"] or not doctor(server)["relay-ws"]["ok"]:
        raise Failure("no WebSocket through a proxy that lets it through")
    # Impatient.
    proxy.nginx(to, NGINX_GOOD.replace("proxy_read_timeout 1h", "proxy_read_timeout 4s"))
    ill(server, "stream", "was cut after", "proxy_read_timeout 1h", flags=("--wait", "6"))

    # Well: clients join through it, and talk through the relay behind it.
    proxy.nginx(to, NGINX_GOOD)
    if "nginx" not in well(server)["proxy"]["text"]:
        raise Failure("doctor does not see nginx")
    # Without https at the proxy the relay is out of reach, which speaks TLS to clients in any case.
    server.url = url.replace("https", "http")
    server.configure(trusted)
    ill(server, "relay", "https:// in server_url")
    server.url = url
    server.configure(trusted)
    anna, bert = (world.client(name, up=False) for name in ("anna", "bert"))
    for client in (anna, bert):
        client.host.run("nft", "-f", "-", input=f"""
            table inet blockdirect {{
                chain out {{ type filter hook output priority -10;
                    oifname "eth*" ip daddr != {proxy.host.ip} drop; }}
                chain in {{ type filter hook input priority -10;
                    iifname "eth*" ip saddr != {proxy.host.ip} drop; }}
            }}""")
        client.up(server.auth_key())
        client.serve_tcp()
    anna.wait_ping(bert.ip4(), timeout=90)
    bert.check_tcp(anna.ip4(), timeout=60)
    # The server knows who they are, by the header of a trusted proxy; a forged one is not believed.
    proxy.host.run("curl", "-s", "-o", "/dev/null", "-H", "X-Real-IP: 198.51.100.1", "-X", "POST", "-H",
                   "Upgrade: tailscale-control-protocol", "-H", "Connection: upgrade", f"http://{to}:8080/ts2021")
    text = server.log.read_text(errors="replace")
    if 'from=198.51.100.1:0 reason="not an initiation"' not in text:
        raise Failure("X-Real-IP of a trusted proxy is not believed")
    server.host.run("curl", "-s", "-o", "/dev/null", "-H", "X-Real-IP: 198.51.100.2", "-X", "POST", "-H",
                    "Upgrade: tailscale-control-protocol", "-H", "Connection: upgrade", f"http://{to}:8080/ts2021")
    if "198.51.100.2" in server.log.read_text(errors="replace"):
        raise Failure("X-Real-IP of a stranger is believed")

    # haproxy in HTTP mode takes over: the same clients come back through it.
    proxy.haproxy(to, lines="option forwardfor")
    well(server)
    anna.wait_ping(bert.ip4(), timeout=90)
    anna.check_tcp(bert.ip4(), timeout=60)
    proxy.haproxy(to, patience="4s", tunnel="")
    ill(server, "stream", "was cut after", "timeout tunnel 1h", flags=("--wait", "6"))
    proxy.haproxy(to, lines="http-request del-header upgrade")
    ill(server, "upgrade", "no machine can log in", "Connection and Upgrade")

    # TCP passed through as it is, with PROXY headers of either version; from the proxy they must be there.
    server.stop()
    own = f"tls_cert_path: {proxy.cert}\ntls_key_path: {proxy.dir}/key.pem\n"
    server.configure(trusted + own + "proxy_protocol: true\n")
    server.start()
    for option in ("send-proxy", "send-proxy-v2"):
        proxy.haproxy(to, mode="tcp", options=option, patience="1h", tunnel="")
        well(server)
        anna.wait_ping(bert.ip4(), timeout=90)
        anna.check_tcp(bert.ip4(), timeout=60)
        asker = bert.host.ip
        bert.host.run("curl", "-sk", "-o", "/dev/null", "-X", "POST", "-H", "Upgrade: tailscale-control-protocol",
                      "-H", "Connection: upgrade", f"{url}/ts2021")
        wait_for(f"the server sees {asker}", lambda: f"from={asker}:" in server.log.read_text(errors="replace"))
    proxy.haproxy(to, mode="tcp", patience="1h", tunnel="")
    ill(server, "key", f"{url}/key")
