"""A node lives as long as its token; the end outlives a restart; new keys of the provider; a provider that is away.

headscale.md 11 #33 #40
"""
import datetime

import login
from world import Failure, wait_for

NEEDS_OIDC = True
LIFE_S = 15


def run(world):
    idp = login.Provider(world, id_token_ttl=3600)
    idp.account("alice", email="alice@example.com", email_verified=True, preferred_username="alice")
    server_url = f"http://{world.next_ip()}:8080"
    # The provider is not there yet: the server starts without, and the command line lets machines in.
    server = world.server(idp.config("  only_start_if_oidc_is_available: false\n  use_expiry_from_token: true\n"))
    if server.url != server_url:
        raise Failure(f"the server is at {server.url}")
    alice = world.client("alice", up=False)
    up, url = login.begin(world, alice)
    browser = login.Browser(idp.host, world.dir)
    browser.get(url).must(200, "hatsize auth register --auth-id")
    idp.start(server.url)
    # It is asked again when ten seconds have passed since it did not answer.
    wait_for("the log-in begins", lambda: browser.get(url).status == 302, timeout=60, every=1)
    browser.log_in(url, "alice").must(200, "Node Registered")
    login.finish(alice, up)
    expiry = server.node("alice")["expiry"]
    if not expiry:
        raise Failure("the token's end is not the node's")
    server.stop()
    server.start()
    if server.node("alice")["expiry"] != expiry:
        raise Failure(f"{expiry} became {server.node('alice')['expiry']}")

    # New keys, which the server did not know when it started; and short lives.
    idp.settings["id_token_ttl"] = LIFE_S
    idp.settings["alg"] = "ES256"
    idp.restart(server.url)
    bob = world.client("bob", up=False)
    up, url = login.begin(world, bob)
    login.Browser(idp.host, world.dir).log_in(url, "alice").must(200, "Node Registered")
    # Whether or not a slow machine has come up before: when the token ends it is out.
    end = datetime.datetime.fromisoformat(server.node("bob")["expiry"].replace("Z", "+00:00"))
    now = lambda: datetime.datetime.now(datetime.timezone.utc)
    if not now() - datetime.timedelta(seconds=300) < end < now() + datetime.timedelta(seconds=LIFE_S):
        raise Failure(f"bob's end is {end}")
    wait_for("bob is logged out when the token ends", timeout=LIFE_S + 60, every=0.5,
             probe=lambda: now() > end and bob.state() == "NeedsLogin")
    alice.wait_running()

    # Away in the middle: a page that says so, nothing else, and the next attempt is good.
    carol = world.client("carol", up=False)
    up, url = login.begin(world, carol)
    browser = login.Browser(idp.host, world.dir)
    back = browser.to_callback(url, "alice")
    idp.stop()
    browser.get(back).must(502, "does not answer")
    idp.settings["id_token_ttl"] = 3600
    idp.start(server.url)
    # The keys are other ones again, and were read anew less than ten seconds ago: until then, no.
    wait_for("carol is in", timeout=60, every=2,
             probe=lambda: login.Browser(idp.host, world.dir).to_question(url, "alice").status == 200)
    login.Browser(idp.host, world.dir).log_in(url, "alice").must(200, "Node Registered")
    login.finish(carol, up)
    # Without their provider people find the way to the command line.
    idp.stop()
    server.stop()
    server.start()
    dora = world.client("dora", up=False)
    up, url = login.begin(world, dora)
    login.Browser(idp.host, world.dir).get(url).must(200, "hatsize auth register --auth-id")
