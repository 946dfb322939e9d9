"""DNS set while clients are connected: names, records, split DNS, search paths, nameservers; by command line and REST v2.

headscale.md 11 #101; what comes and goes in the records' file (#102) is in 49_settings_live.py."""
import json

from world import Failure, Host, never, wait_for

# Answers each question for A with one address, and says of its log what was asked.
NAMESERVER = """import socket,struct,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(("0.0.0.0",53))
while True:
    d,a=s.recvfrom(4096)
    at=12
    while d[at]: at+=1+d[at]
    q=d[12:at+5]
    n=1 if struct.unpack(">H",q[-4:-2])[0]==1 else 0
    print(d[12:at], flush=True)
    s.sendto(d[:2]+struct.pack(">HHHHH",0x8580,1,n,0,0)+q+
             n*(b"\\xc0\\x0c"+struct.pack(">HHIH",1,1,1,4)+socket.inet_aton(sys.argv[1])),a)
"""

CONFIG = """dns:
  base_domain: example.test
  extra_records:
    - {name: grafana.example.test, type: A, value: 100.64.9.1}
    - {name: printer.example.test, type: A, value: 100.64.9.2}
"""


def nameserver(world, name, address):
    host = Host(world, name)
    host.spawn("python3", "-c", NAMESERVER, address, log=world.dir / f"{name}.log")
    wait_for(f"{name} answers", lambda: host.run("dig", "+short", "+time=1", "+tries=1", "@127.0.0.1", "a.b",
                                                 check=False).stdout.split() == [address])
    return host


def run(world):
    server = world.server(CONFIG)
    corp = nameserver(world, "corp", "10.1.2.3")
    public = nameserver(world, "public", "10.4.5.6")
    clients = [world.client(name) for name in ("alice", "bob", "carol")]
    alice = clients[0]

    # Every client resolves every other by its whole name (headscale.md 11 #101).
    for one in clients:
        for other in clients:
            if one is other:
                continue
            name, ip4 = one.wait_peer(other.name)["DNSName"], other.ip4()
            if name != f"{other.name}.example.test.":
                raise Failure(f"{one.name} knows {other.name} as {name}")
            wait_for(f"{one.name} resolves {name}", lambda: one.resolve(name) == [ip4])

    def says(name, *ips, kind="A"):
        wait_for(f"{name} is {ips}", lambda: all(c.resolve(name, kind) == list(ips) for c in clients), 20)

    channels = server.log.read_text(errors="replace").count("registered node")
    # Records: beside the configured ones, and in their place where name and type are the same.
    server.cli("dns", "records", "wiki.example.test", "100.64.9.3")
    says("wiki.example.test", "100.64.9.3")
    server.cli("dns", "records", "grafana.example.test", "100.64.9.4")
    says("grafana.example.test", "100.64.9.4")
    says("printer.example.test", "100.64.9.2")
    server.cli("dns", "records", "wiki.example.test", "fd7a:115c:a1e0::99")
    says("wiki.example.test", "fd7a:115c:a1e0::99", kind="AAAA")
    server.cli("dns", "records", "--remove", "grafana.example.test")
    says("grafana.example.test", "100.64.9.1")
    done = server.cli("dns", "records", "www.example.test", "grafana.example.test", check=False)
    if done.returncode != 1 or "no IP address" not in done.stderr:
        raise Failure(f"a record without an address: {done.returncode} {done.stderr}")

    # Split DNS and search paths.
    server.cli("dns", "split", "corp.test", corp.ip)
    says("intranet.corp.test", "10.1.2.3")
    server.cli("dns", "search", "corp.test")
    wait_for("the short name is found", lambda: "10.1.2.3" in alice.inside(
        "getent", "ahostsv4", "intranet", check=False).stdout)

    # Everything as Tailscale's API has it.
    key = server.json("apikeys", "create")

    def api(method, path, body=None):
        argv = ["curl", "-sS", "-X", method, "-H", f"authorization: Bearer {key}", "-w", "\n%{http_code}"]
        if body is not None:
            argv += ["-d", json.dumps(body)]
        text, _, status = server.host.run(
            *argv, f"http://127.0.0.1:8080/api/v2/tailnet/-/dns/{path}").stdout.rpartition("\n")
        return int(status), json.loads(text)

    if api("GET", "split-dns") != (200, {"corp.test": [corp.ip]}):
        raise Failure(f"split DNS: {api('GET', 'split-dns')}")
    if api("PATCH", "split-dns", {"corp.test": None, "lab.test": [corp.ip]}) != (200, {"lab.test": [corp.ip]}):
        raise Failure("split DNS cannot be patched")
    says("x.lab.test", "10.1.2.3")
    wanted = {"nameservers": [{"address": public.ip, "useWithExitNode": True}], "splitDNS": {},
              "searchPaths": [], "preferences": {"overrideLocalDNS": True, "magicDNS": True}}
    if api("POST", "configuration", wanted) != (200, wanted) or api("GET", "configuration") != (200, wanted):
        raise Failure(f"the configuration: {api('GET', 'configuration')}")
    says("x.lab.test", "10.4.5.6")  # the global one is asked about everything now
    resolver = alice.netmap()["DNS"]["Resolvers"]
    if [r["Addr"] for r in resolver] != [public.ip]:
        raise Failure(f"resolvers: {resolver}")
    status, problem = api("POST", "nameservers", {"dns": ["dns.example.com"]})
    if status != 400 or "no nameserver" not in problem["message"]:
        raise Failure(f"a name for a nameserver: {status} {problem}")

    # MagicDNS off and on; what was set outlives the server, and its reset brings the configuration back.
    server.cli("dns", "magic", "off")
    wait_for("the clients do without", lambda: all(not c.netmap()["DNS"].get("Proxied") for c in clients))
    server.cli("dns", "magic", "on")
    wait_for("and with it again", lambda: all(c.netmap()["DNS"].get("Proxied") for c in clients))
    if server.log.read_text(errors="replace").count("registered node") != channels:
        raise Failure("somebody had to come again")
    before = server.json("dns", "show")
    server.kill()
    server.start()
    if server.json("dns", "show") != before:
        raise Failure(f"after the restart: {server.json('dns', 'show')}, not {before}")
    server.cli("dns", "reset")
    for c in clients:
        wait_for(f"{c.name} has what is configured", lambda: not c.netmap()["DNS"].get("Resolvers"), 60)
    says("printer.example.test", "100.64.9.2")
    never("a record outlived the reset", lambda: alice.resolve("wiki.example.test"))
    actions = [e["action"] for e in server.json("audit", "list")]
    if actions.count("dns.set") < 8:
        raise Failure(f"the log does not tell: {actions}")
