"""One person in two tailnets, by a group and by an invitation's link, with two profiles of one machine; a domain that waits for
approval; a stranger who is told no name; a role that reads and does not write; suspended, out."""
import json
import re

import login
from world import POLICY_IN_DATABASE, Failure, never, wait_for

NEEDS_OIDC = True
DNS = "dns:\n  magic_dns: true\n  base_domain: net.example\n  override_local_dns: false\n"
NAMES = ("default", "acme", "labs")


def with_key(world, name, tailnet):
    server = world.the_server
    server.cli("users", "create", f"{name}er", "--tailnet", tailnet)
    user = next(u["id"] for u in server.json("users", "list", "--tailnet", tailnet) if u["name"] == f"{name}er")
    client = world.client(name, up=False)
    client.up(server.json("preauthkeys", "create", "--tailnet", tailnet, "--user", user)["key"])
    return client


def choose(browser, page, name):
    """Says yes with the button of that tailnet."""
    action, fields = page.form()
    button = re.search(rf'name="tailnet" value="(\d+)">{name}</button>', page.body)
    if not button:
        raise Failure(f"no button {name}: {page.body}")
    return browser.post(action, {**fields, "tailnet": button.group(1)})


def nodes(server, tailnet):
    return {n["givenName"]: n for n in server.json("nodes", "list", "--tailnet", tailnet)}


def profiles(client):
    """Their ids; the present one is last."""
    lines = [line.split() for line in client.ts("switch", "--list").stdout.splitlines()[1:] if line.strip()]
    return [words[0] for words in sorted(lines, key=lambda words: words[-1].endswith("*"))]


def run(world):
    idp = login.Provider(world)
    idp.account("alice", email="alice@example.com", email_verified=True, preferred_username="alice", groups=["research"])
    idp.account("dan", email="dan@acme.example", email_verified=True, preferred_username="dan")
    idp.account("eve", email="eve@acme.example", email_verified=False, preferred_username="eve", groups=["oidc:research"])
    idp.start(f"http://{world.next_ip()}:8080")
    server = world.server(POLICY_IN_DATABASE + DNS + idp.config("  email_verified_required: false\n"))
    new = lambda: login.Browser(idp.host, world.dir)
    server.cli("tailnets", "create", "acme", "--join", "domain:acme.example,approve")
    server.cli("tailnets", "create", "labs", "--join", "group:oidc:research,no-approve")
    server.cli("tailnets", "set", "default", "--join", "none")
    with_key(world, "desk", "default")
    with_key(world, "bench", "labs")

    # A stranger: no rule is about an address that nobody verified, or about a group of another's making.
    dan = world.client("dan", up=False)
    up, url = login.begin(world, dan)
    for page in (new().to_question(url, "eve"), new().to_question(server.url + "/login", "eve")):
        page.must(403)
        if any(name in page.body for name in NAMES):
            raise Failure(f"a stranger is told: {page.body}")

    # By the domain, once an administrator approves.
    browser = new()
    question = browser.to_question(url, "dan").must(200, "<td>acme</td>", "administrators must approve you")
    if server.json("users", "list", "--tailnet", "acme"):
        raise Failure("a member before the yes")
    browser.yes(question).must(200, "Node Registered", "wait for approval")
    wait_for("dan waits", lambda: dan.state() == "NeedsMachineAuth")
    server.cli("users", "approve", "dan", "--tailnet", "acme")
    dan.wait_running()
    wait_for("tailscale up ends", lambda: up.poll() is not None)

    # By a group; by a link; two profiles of one machine.
    alice = world.client("alice", up=False)
    browser = new()
    login.join(world, alice, browser, "alice").must(200, "Node Registered")
    alice.wait_peer("bench")
    link = server.json("users", "invite", "--role", "member")["url"]
    browser.yes(browser.to_question(link, "alice").must(200, "You are invited to default as member")).must(
        200, "You are a member", f"--login-server={server.url}")
    used, unknown = new().get(link).must(410), new().get(f"{server.url}/invite/hskey-invite-{'0' * 12}-{'0' * 64}").must(410)
    if used.body != unknown.body or used.headers.get("referrer-policy") != "no-referrer":
        raise Failure(f"used and unknown links differ: {used.body} {unknown.body}")
    log = alice.dir / "ts.log"
    seen = len(log.read_text(errors="replace"))
    up = alice.spawn_ts("login", f"--login-server={server.url}", "--hostname=alice", "--timeout=120s")
    url = wait_for("a second profile shows a URL", lambda: re.search(
        rf"{server.url}/register/\S+", log.read_text(errors="replace")[seen:]), timeout=60).group(0)
    page = browser.to_question(url, "alice").must(200, ">labs</button>", ">default</button>")
    if "acme" in page.body:
        raise Failure(f"alice is told of acme: {page.body}")
    choose(browser, page, "default").must(200, "Node Registered")
    login.finish(alice, up)
    alice.wait_peer("desk")
    never("alice sees the other tailnet", lambda: alice.peers().get("bench"))
    first, second = profiles(alice)
    for profile, peer, other in ((first, "bench", "desk"), (second, "desk", "bench")):
        alice.ts("switch", profile)
        alice.wait_running()
        alice.wait_peer(peer)
        if set(alice.peers()) != {peer}:
            raise Failure(f"in profile {profile} alice sees {sorted(alice.peers())}, {other} is of the other")
    if "alice" not in nodes(server, "labs") or "alice" not in nodes(server, "default"):
        raise Failure("alice's machine is in both tailnets")

    # A role: none, then one that reads.
    api = server.url + "/api/v1"
    browser = new()
    browser.to_question(server.url + "/login", "dan").must(403)
    server.cli("users", "role", "dan", "auditor", "--tailnet", "acme")
    browser.to_question(server.url + "/login", "dan").must(200, "Logged In")
    names = [u["name"] for u in json.loads(browser.get(f"{api}/user").must(200).body)["users"]]
    if names != ["dan"]:
        raise Failure(f"dan reads of {names}")
    write = ("-H", "x-hatsize-request: 1", "-H", "content-type: application/json", "--data", '{"name":"mallory"}')
    browser.request(f"{api}/user", *write).must(403)
    browser.get(f"{api}/user?tailnet=labs").must(404)
    server.cli("users", "role", "dan", "it-admin", "--tailnet", "acme")
    browser.request(f"{api}/user", *write).must(200, "mallory")

    # Suspended: the session is over, the machine has no access; another log-in helps neither.
    server.cli("--force", "users", "suspend", "dan", "--tailnet", "acme")
    browser.get(f"{api}/user").must(401)
    wait_for("dan's machine is out", lambda: dan.state() == "NeedsMachineAuth")
    browser.to_question(server.url + "/login", "dan").must(403)
    server.cli("users", "restore", "dan", "--tailnet", "acme")
    dan.wait_running()
    if link[-64:] in server.log.read_text(errors="replace"):
        raise Failure("an invitation's secret is in the log")
