"""A machine without a key gets a URL; an administrator lets it in from the command line."""
import re

from world import Failure, wait_for


def approve(world, client, user):
    server = world.the_server
    server.user(user)
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


def run(world):
    world.server()
    alice = world.client("alice")
    bob = world.client("bob", up=False)
    approve(world, bob, "bob")
    alice.wait_peer("bob")
    bob.wait_peer("alice")
    done = world.the_server.cli("auth", "register", "--auth-id", "hskey-authreq-" + "0" * 24, "--user", "bob",
                                check=False)
    if done.returncode == 0 or "no pending auth session" not in done.stderr:
        raise Failure(f"an unknown auth id was not refused clearly: {done.stdout}{done.stderr}")
