"""Two providers at once: a page to pick from; the same mail address and subject at both are two people. Pages for devices.
A URL that waited too long gives way to a fresh one.

headscale.md 11 #37
"""
import plistlib

import login
from world import Failure, wait_for

NEEDS_OIDC = True


def run(world):
    one, two = login.Provider(world, "idp-one"), login.Provider(world, "idp-two")
    same = {"email": "alice@example.com", "email_verified": True, "preferred_username": "alice"}
    for idp in (one, two):
        idp.account("alice", name=f"Alice at {idp.name}", **same)
    server_url = f"http://{world.next_ip()}:8080"
    for idp in (one, two):
        idp.start(server_url)
    server = world.server("oidc_providers:\n" + one.item("    title: Work & <Play>\n") +
                          two.item("    extra_params: {Domain_Hint: \"a b\"}\n"))
    users = {}
    for idp in (one, two):
        client = world.client(f"box-{idp.name}", up=False)
        up, url = login.begin(world, client)
        browser = login.Browser(idp.host, world.dir)
        pick = browser.get(url).must(200, "Log in with", "Work &amp; &lt;Play&gt;",
                                     f"{two.host.ip}:9000", f"?provider={idp.name}")
        if "set-cookie" in pick.headers:
            raise Failure("the page to pick from sets cookies")
        browser.get(f"{url}?provider=none").must(400)
        browser.log_in(f"{url}?provider={idp.name}", "alice").must(200, "Node Registered")
        login.finish(client, up)
        users[idp.name] = server.node(client.name)["user"]
    if users["idp-one"]["id"] == users["idp-two"]["id"]:
        raise Failure(f"a mail address made two people one: {users}")
    if {u["providerId"] for u in users.values()} != {f"{one.issuer}/alice", f"{two.issuer}/alice"}:
        raise Failure(f"{users}")
    client = world.client("box-three", up=False)
    up, url = login.begin(world, client)
    browser = login.Browser(one.host, world.dir)
    away = browser.get(f"{url}?provider=idp-two")
    if "&domain_hint=a%20b" not in away.location:
        raise Failure(f"extra_params: {away.location}")
    # An answer of one provider where the other was asked.
    back = login.Browser.to_callback(browser, f"{url}?provider=idp-two", "alice")
    browser.get(back.replace(two.host.ip, one.host.ip)).must(403)

    # Pages for devices (headscale.md 9.1).
    browser.get(f"{server.url}/windows").must(200, f"--login-server {server.url}")
    browser.get(f"{server.url}/apple").must(200, f"--login-server {server.url}", "/apple/ios")
    browser.get(f"{server.url}/apple/palm").must(400, "platform must be ios, macos-app-store or macos-standalone")
    for platform, kind in (("ios", "ios"), ("macos-app-store", "macos"), ("macos-standalone", "macsys")):
        page = browser.get(f"{server.url}/apple/{platform}")
        profile = plistlib.loads(page.body.encode())
        payload = profile["PayloadContent"][0]
        if not page.headers["content-type"].startswith("application/x-apple-aspen-config"):
            raise Failure(f"{page.headers}")
        if (payload["PayloadType"], payload["ControlURL"]) != (f"io.tailscale.ipn.{kind}", server.url):
            raise Failure(f"{platform}: {profile}")

    # URLs that are good for five seconds: the machine shows another one, and a fresh one is good (#37).
    server.stop()
    server.config.write_text(server.config.read_text() + "tuning:\n  register_cache_expiration: 5s\n")
    server.start()
    late = world.client("late", up=False)
    up, url = login.begin(world, late)
    shown = lambda: late.status().get("AuthURL")
    wait_for("another URL is shown", lambda: shown() and shown() != url, timeout=60)
    login.Browser(one.host, world.dir).get(f"{url}?provider=idp-one").must(410, "expired")

    def in_time():
        """Quick enough this time, however slow the machine is."""
        browser = login.Browser(one.host, world.dir)
        if browser.get(f"{shown()}?provider=idp-one").status != 302:
            return False
        page = browser.to_question(f"{shown()}?provider=idp-one", "alice")
        return page.status == 200 and browser.yes(page).status == 200
    wait_for("a log-in in time", in_time, timeout=120)
    login.finish(late, up)
