"""Machines join by log-in: PKCE, users made of claims, another user, the same again, two tabs, routes, policy.

headscale.md 11 #32 #34 #35 #36 #38 #39 #41 #42
"""
import login
from world import POLICY_IN_DATABASE, Failure, wait_for

NEEDS_OIDC = True
POLICY = {
    "groups": {"group:eng": ["oidc:eng@"]},  # what the provider says of people
    "acls": [{"action": "accept", "src": ["group:eng"], "dst": ["group:eng:*"]}],
}


def users(server):
    return {u["name"]: u for u in server.json("users", "list") if u["provider"] == "oidc"}


def run(world):
    idp = login.Provider(world)
    idp.account("alice-sub", email="alice@example.com", email_verified=True, name="Alice A.",
                preferred_username="alice", picture="https://example.com/a.png", groups=["eng"])
    idp.account("bob|sub", email="bob@example.com", email_verified=False, name="Bob", preferred_username="bob")
    idp.account("carol-sub", email="carol@example.com", email_verified=True, preferred_username="carol",
                groups="eng")
    # The server's address is the next one: the provider must know where to send people before it is asked.
    server_url = f"http://{world.next_ip()}:8080"
    idp.start(server_url)
    server = world.server(POLICY_IN_DATABASE + idp.config())
    if server.url != server_url:
        raise Failure(f"the server is at {server.url}")
    server.user("alice")  # a local one of the same name
    alice, bob = world.client("alice", up=False), world.client("bob", up=False)
    browser = login.Browser(idp.host, world.dir)

    # The page says what is to be let in, and nothing is before the yes (#32, #35: the provider insists on PKCE).
    up, url = login.begin(world, alice)
    away = browser.get(url)
    for part in ("code_challenge=", "code_challenge_method=S256", "response_type=code", "nonce=",
                 "scope=openid%20profile%20email"):
        if part not in away.location:
            raise Failure(f"{part} is not in {away.location}")
    cookies = away.headers["set-cookie"].split("\n")
    if len(cookies) != 2 or any("; HttpOnly; SameSite=Lax" not in c or "Path=/oidc/callback" not in c for c in cookies):
        raise Failure(f"cookies: {cookies}")
    question = browser.to_question(url, "alice-sub")
    question.must(200, "Confirm node registration", "<td>alice</td>", "<td>linux</td>", "mkey:", "alice@example.com")
    if "HttpOnly; SameSite=Strict" not in question.headers["set-cookie"] or "no-store" not in question.headers["cache-control"]:
        raise Failure(f"headers: {question.headers}")
    if "default-src 'none'" not in question.headers["content-security-policy"]:
        raise Failure(f"headers: {question.headers}")
    if server.nodes():
        raise Failure("a machine was registered before the yes")
    browser.yes(question).must(200, "Node Registered", "Registered as <strong>alice@example.com</strong>")
    login.finish(alice, up)
    login.join(world, bob, login.Browser(idp.host, world.dir), "bob|sub").must(200, "Registered")

    # Users as claimed; a local one of the same name beside (#34).
    made = users(server)
    want = {"displayName": "Alice A.", "email": "alice@example.com", "providerId": f"{idp.issuer}/alice-sub",
            "profilePicUrl": "https://example.com/a.png"}
    if {k: made["alice"][k] for k in want} != want:
        raise Failure(f"alice is {made['alice']}")
    if made["bob"]["email"] or made["bob"]["providerId"] != f"{idp.issuer}/bob%7Csub":
        raise Failure(f"bob is {made['bob']}")
    if [u["name"] for u in server.json("users", "list")].count("alice") != 2:
        raise Failure("the local alice is gone")
    alice.wait_peer("bob")
    alice.wait_ping(bob.ip4())
    if server.node("alice")["registerMethod"] != "REGISTER_METHOD_OIDC":
        raise Failure(f"{server.node('alice')}")

    # The same again keeps the node; its routes too (#39, #42). Claims are taken over anew.
    alice.ts("set", "--advertise-routes=10.99.0.0/24")
    node = wait_for("the route is there", lambda: (lambda n: n["availableRoutes"] and n)(server.node("alice")))
    server.cli("nodes", "approve-routes", "-i", node["id"], "-r", "10.99.0.0/24")
    idp.account("alice-sub", email="alice@example.com", email_verified=True, name="Alice B.", preferred_username="alice",
                groups=["ops", "eng"])
    before = server.node("alice")
    alice.log_out()
    login.join(world, alice, browser, "alice-sub", "--advertise-routes=10.99.0.0/24").must(
        200, "Node Reauthenticated")
    after = server.node("alice")
    for field in ("id", "ipAddresses", "approvedRoutes"):
        if before[field] != after[field]:
            raise Failure(f"{field}: {before[field]} became {after[field]}")
    if before["nodeKey"] == after["nodeKey"] or users(server)["alice"]["displayName"] != "Alice B.":
        raise Failure("key or name are the old ones")

    # Another person on the same machine is a second node; back again, the first one (#36).
    bob_node = server.node("bob")
    bob.log_out()
    # Whoever is at the provider stays logged in there, so: another browser.
    login.join(world, bob, login.Browser(idp.host, world.dir), "carol-sub")
    both = [n for n in server.nodes() if n["machineKey"] == bob_node["machineKey"]]
    if len(both) != 2 or both[0]["nodeKey"] == both[1]["nodeKey"]:
        raise Failure(f"nodes of the machine: {both}")
    wait_for("only the new one is online", lambda: sorted(
        n["online"] for n in server.nodes() if n["machineKey"] == bob_node["machineKey"]) == [False, True], timeout=40)
    bob.log_out()
    login.join(world, bob, login.Browser(idp.host, world.dir), "bob|sub")
    if len(server.nodes()) != 3 or server.node("bob")["id"] != bob_node["id"] or len(users(server)) != 3:
        raise Failure(f"after switching back: {server.nodes()}")

    # Two tabs of a browser; the first one is finished (#38).
    dora = world.client("dora", up=False)
    up, url = login.begin(world, dora)
    fresh = login.Browser(idp.host, world.dir)
    first, second = fresh.get(url), fresh.get(url)
    if first.location == second.location:
        raise Failure("two tabs share a state")
    login.Browser.log_in(OneTab(fresh, first), url, "carol-sub").must(200, "Node Registered")
    login.finish(dora, up)
    if len([n for n in server.nodes() if n["givenName"] == "dora"]) != 1 or len(users(server)) != 3:
        raise Failure("two tabs made two of something")

    # A new node has the peers that the policy gives it, at once (#41).
    server.policy(POLICY)
    erin = world.client("erin", up=False)
    login.join(world, erin, login.Browser(idp.host, world.dir), "carol-sub")
    erin.wait_peer("alice")
    if "bob" in erin.peers():
        raise Failure("erin sees bob")
    # Who is taken out of the group there, is out of it here from the next log-in on.
    idp.account("carol-sub", email="carol@example.com", email_verified=True, preferred_username="carol")
    frank = world.client("frank", up=False)
    login.join(world, frank, login.Browser(idp.host, world.dir), "carol-sub")
    wait_for("erin has no peers", lambda: not erin.peers())


class OneTab:
    """A browser whose first page is there already."""

    def __init__(self, browser, page):
        self.browser, self.page = browser, page

    def to_question(self, url, account):
        tab = self

        class Once(type(self.browser)):
            def __init__(self):
                self.host, self.jar, self.first = tab.browser.host, tab.browser.jar, tab.page

            def get(self, url):
                if self.first:
                    page, self.first = self.first, None
                    return page
                return super().get(url)
        return Once().to_question(url, account)

    def yes(self, page):
        return self.browser.yes(page)
