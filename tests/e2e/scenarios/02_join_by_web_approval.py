"""A machine without a key gets a URL; an administrator lets it in from the command line, also after log-outs."""
import re

from world import Failure, wait_for


def approve(world, client, user):
    server = world.the_server
    server.user(user)
    (client.dir / "ts.log").write_text("")
    up = client.spawn_ts("up", f"--login-server={server.url}", f"--hostname={client.name}", "--timeout=60s")
    text = lambda: (client.dir / "ts.log").read_text(errors="replace")
    url = wait_for("tailscale up shows a URL", lambda: re.search(rf"{server.url}/register/(\S+)", text()))
    page = world.the_server.host.run("python3", "-c",
                                     "import urllib.request,sys;print(urllib.request.urlopen(sys.argv[1]).read().decode())",
                                     url.group(0)).stdout
    if "hatsize auth register --auth-id " + url.group(1) not in page:
        raise Failure(f"the page does not say what to do: {page}")
    server.cli("auth", "register", "--auth-id", url.group(1), "--user", user)
    wait_for("tailscale up ends", lambda: up.poll() is not None)
    if up.returncode != 0:
        raise Failure(f"tailscale up failed: {text()}")
    client.wait_running()


def log_out(client):
    client.log_out()
    wait_for(f"{client.name} is logged out", lambda: client.state() == "NeedsLogin")


def who(server):
    """Who has which machines: (user, id, addresses)."""
    return {(n["user"]["name"], n["id"], *n["ipAddresses"]) for n in server.nodes()}


def reach_all(clients):
    for a in clients:
        for b in clients:
            if a is not b:
                a.wait_ping(b.ip4())
                a.wait_ping(b.ip6())


def run(world):
    server = world.server()
    clients = [world.client(name, up=False) for name in ("alice", "bob", "carol")]
    for client in clients:
        approve(world, client, client.name)
    reach_all(clients)  # headscale.md 11 #18
    done = server.cli("auth", "register", "--auth-id", "hskey-authreq-" + "0" * 24, "--user", "bob", check=False)
    if done.returncode == 0 or "no pending auth session" not in done.stderr:
        raise Failure(f"an unknown auth id was not refused clearly: {done.stdout}{done.stderr}")

    # Out and in again, as who they were: headscale.md 11 #19.
    before, keys = who(server), {n["nodeKey"] for n in server.nodes()}
    for client in clients:
        log_out(client)
    for client in clients:
        approve(world, client, client.name)
    if who(server) != before:
        raise Failure(f"machines changed: {before} {who(server)}")
    if keys & {n["nodeKey"] for n in server.nodes()}:
        raise Failure("a node key is the old one")
    reach_all(clients)

    # As somebody else: further machines, the first ones stay: headscale.md 11 #20.
    for client in clients:
        log_out(client)
    for client in clients:
        approve(world, client, "zoe")
    now = who(server)
    if not before < now or [user for user, *_ in now - before] != ["zoe"] * 3:
        raise Failure(f"machines of two people: {before} {now}")
    if {ip for _, _, *ips in now - before for ip in ips} & {ip for _, _, *ips in before for ip in ips}:
        raise Failure(f"addresses are shared: {now}")
    reach_all(clients)
