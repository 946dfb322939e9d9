"""An SSH check is approved by the log-in of the machine's owner, and by nobody else's.

headscale.md 11 #86
"""
import re

import login
from world import POLICY_IN_DATABASE, Failure, wait_for

NEEDS_OIDC = True
POLICY = {
    "tagOwners": {"tag:server": ["alice@example.com"]},
    "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
    "ssh": [{"action": "check", "checkPeriod": "2h", "src": ["autogroup:member", "tag:server"], "dst": ["tag:server"],
             "users": ["root", "autogroup:nonroot"]}],
}


def held(client, target):
    session = client.ssh(target, "echo", "i am $(whoami)")
    session.wait_text("hatsize ssh approve ")
    return session


def run(world):
    idp = login.Provider(world)
    for name in ("alice", "bob"):
        idp.account(name, email=f"{name}@example.com", email_verified=True, preferred_username=name)
    server_url = f"http://{world.next_ip()}:8080"
    idp.start(server_url)
    server = world.server(POLICY_IN_DATABASE + idp.config())
    alice, bob = world.client("alice", "1.102", up=False), world.client("bob", "1.90", up=False)
    new = lambda: login.Browser(idp.host, world.dir)
    for client in (alice, bob):
        login.join(world, client, new(), client.name)
    server.policy(POLICY)
    box = world.client("box", "1.102", up=False).up(server.tags_key("tag:server"), "--ssh")
    for client in (alice, bob, box):
        if client is not box:
            wait_for(f"{client.name} has host keys", lambda: client.wait_peer("box").get("sshHostKeys"))

    session = held(alice, "root@box")
    url = re.search(r"# To authenticate, visit: (\S+)", session.text()).group(1)
    if not re.fullmatch(re.escape(server.url) + r"/auth/sshcheck-\S+", url):
        raise Failure(f"the URL is {url}")
    # Bob may not say yes to what Alice's machine asks.
    new().to_question(url, "bob").must(403, "not authorised")
    browser = new()
    question = browser.to_question(url, "alice").must(
        200, "Confirm SSH session", "<td>alice</td>", "<td>box</td>", "<td>root</td>", "alice@example.com")
    if session.proc.poll() is not None or "i am root" in session.text():
        raise Failure(f"it was let in before the yes: {session.text()}")
    # Alice's yes is of her browser.
    action, fields = question.form()
    new().post(action, fields).must(400)
    browser.yes(question).must(200, "SSH Session Authorized", "Authorized as <strong>alice@example.com</strong>")
    session.wait_text("i am root")
    if session.wait_end() != 0:
        raise Failure(f"ssh failed: {session.text()}")
    # It was good once; and for the rule's time there is no asking.
    browser.get(url).must(410)
    again = alice.ssh("root@box", "echo", "i am $(whoami)")
    again.wait_text("i am root")
    if "visit" in again.text():
        raise Failure("it asked again within the period")

    # Bob's own.
    session = held(bob, "root@box")
    url = re.search(r"# To authenticate, visit: (\S+)", session.text()).group(1)
    new().log_in(url, "bob").must(200, "SSH Session Authorized")
    session.wait_text("i am root")

    # A check that is decided meanwhile.
    session = held(bob, "daemon@box")
    url = re.search(r"# To authenticate, visit: (\S+)", session.text()).group(1)
    browser = new()
    question = browser.to_question(url, "bob").must(200)
    server.cli("ssh", "reject", url.rsplit("/", 1)[1])
    browser.yes(question).must(410)
    session.wait_text("rejected")
