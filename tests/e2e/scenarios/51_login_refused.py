"""Log-ins that must come to nothing: used codes, forged states, other browsers, other issuers, old codes, people not allowed."""
import time
import urllib.parse

import login
from world import POLICY_IN_DATABASE, Failure, wait_for

NEEDS_OIDC = True


def changed(url, **fields):
    """The callback with some of its query replaced; None leaves a field out."""
    parts = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(parts.query))
    query.update(fields)
    query = {k: v for k, v in query.items() if v is not None}
    return urllib.parse.urlunsplit(parts._replace(query=urllib.parse.urlencode(query)))


def field(url, name):
    return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))[name]


def run(world):
    idp = login.Provider(world)
    good = {"email_verified": True, "groups": ["/vpn"]}
    idp.account("alice", email="alice@example.com", preferred_username="alice", **good)
    idp.account("mallory", email="mallory@example.org", preferred_username="mallory", **good)
    idp.account("eve", email="eve@example.com", email_verified=False, groups=["/vpn"])
    idp.account("oscar", email="oscar@example.com", email_verified=True, groups=["vpn"])
    idp.account("trudy", email="trudy@example.com", **good)
    server_url = f"http://{world.next_ip()}:8080"
    idp.start(server_url)
    server = world.server(POLICY_IN_DATABASE + idp.config("  allowed_domains: [example.com]\n  allowed_groups: [/vpn]\n"
                                     "  allowed_users: [alice@example.com, eve@example.com, oscar@example.com]\n"))
    alice = world.client("alice", up=False)
    up, url = login.begin(world, alice)
    new = lambda: login.Browser(idp.host, world.dir)

    # Who may not, for each reason; what they see says none of it.
    for account, why in (("mallory", "unauthorised domain"), ("eve", "unverified email"),
                         ("oscar", "unauthorised group"), ("trudy", "unauthorised user")):
        page = new().to_question(url, account).must(401, "You are not authorised")
        if "unauthorised" in page.body:
            raise Failure(f"a stranger is told why: {page.body}")
        wait_for(f"the log says why {account} may not", lambda: why in server.tail(400))
    if any(u["provider"] for u in server.json("users", "list")):
        raise Failure("somebody who may not became a user")

    # Ids and states that never were.
    browser = new()
    browser.get(f"{server.url}/register/hskey-authreq-{'0' * 24}").must(410, "expired")
    browser.get(f"{server.url}/register/hskey-authreq-{'g' * 23}").must(400, "invalid auth id")
    browser.get(f"{server.url}/auth/sshcheck-{'0' * 24}").must(410)
    browser.get(f"{server.url}/oidc/callback").must(400)
    browser.get(f"{server.url}/oidc/callback?code=x&state=abc").must(400)
    browser.get(f"{server.url}/oidc/callback?code=x&state={'0' * 48}").must(400)

    # Another browser than the one that began; then the right one; then the same again.
    browser = new()
    back = browser.to_callback(url, "alice")
    new().get(back).must(400, "could not be processed")
    browser.get(changed(back, code=None)).must(400)
    state = field(back, "state")
    forged = browser.request(changed(back, state=state[:6] + "0" * 42)).must(403)
    if "not the browser" in forged.body:
        raise Failure("the page says why")
    question = browser.get(back).must(200, "Confirm node registration")
    browser.get(back).must((400, 404))  # used; a browser that heeds Max-Age=0 has no cookies for it either
    browser.request(back, "-H", f"Cookie: state_{state[:6]}={state}; nonce_{state[:6]}=x").must(404)

    # A code that was used, under a state of its own.
    used = field(back, "code")
    other = new()
    other.get(changed(other.to_callback(url, "alice"), code=used)).must(403, "not authorised")
    # The provider takes back what a used code gave, and so it is no good either way; the question stands.
    other = new()
    other.get(changed(other.to_callback(url, "alice"), code="never-was")).must(403)
    # Word of another issuer (RFC 9207).
    other = new()
    other.get(changed(other.to_callback(url, "alice"), iss="http://evil.example")).must(403)
    # The provider's no.
    other = new()
    other.get(changed(other.to_callback(url, "alice"), code=None, error="access_denied")).must(401)
    # Another nonce than the browser's.
    other = new()
    away = other.to_callback(url, "alice")
    mark = field(away, "state")
    login.Browser(idp.host, world.dir).request(
        away, "-H", f"Cookie: state_{mark[:6]}={mark}; nonce_{mark[:6]}={'0' * 48}").must(403)

    # The yes: of this browser, with this token, about this machine, once.
    action, fields = question.form()
    new().post(action, fields).must(400)
    browser.post(action, {}).must(400)
    browser.post(action, {"token": "0" * 48}).must(403)
    browser.post(action.replace("confirm/hskey-authreq-", "confirm/"), fields).must(400)
    never = browser.request(action.rsplit("-", 1)[0] + "-" + "0" * 24, "-H", f"Cookie: hatsize_confirm={fields['token']}",
                            "--data-urlencode", f"token={fields['token']}")
    never.must(410)
    if server.nodes() or up.poll() is not None:
        raise Failure("something let the machine in")
    browser.yes(question).must(200, "Node Registered")
    login.finish(alice, up)
    browser.post(action, fields).must((400, 410))
    browser.request(action, "-H", f"Cookie: hatsize_confirm={fields['token']}", "--data-urlencode",
                    f"token={fields['token']}").must(410)
    if len(server.nodes()) != 1:
        raise Failure("one yes let two machines in")

    # A code too old when it comes back.
    idp.settings["code_ttl"] = 1
    idp.restart(server.url)
    bob = world.client("bob", up=False)
    up, url = login.begin(world, bob)
    browser = new()
    back = browser.to_callback(url, "alice")
    time.sleep(3)
    browser.get(back).must(403)
    # What is asked for when it is already let in is gone.
    idp.settings["code_ttl"] = 60
    idp.restart(server.url)
    browser = new()
    question = browser.to_question(url, "alice").must(200)
    server.user("bob")
    server.cli("auth", "register", "--auth-id", url.rsplit("/", 1)[1], "--user", "bob")
    login.finish(bob, up)
    browser.yes(question).must(410)

    # A tag that the person may not give: nothing is registered, and they are told.
    server.policy({"tagOwners": {"tag:prod": ["bob@"]}, "grants": []})
    carol = world.client("carol", up=False)
    up, url = login.begin(world, carol, "--advertise-tags=tag:prod")
    new().log_in(url, "alice").must(400, "tag:prod")
    if len(server.nodes()) != 2:
        raise Failure(f"{server.nodes()}")

    # A provider that calls itself otherwise.
    done = server.host.run(world.hatsize, "serve", "--config", wrong(server, idp), "--data-dir", server.dir / "other",
                           check=False, timeout=40)
    text = done.stdout + done.stderr
    if done.returncode == 0 or "calls itself" not in text or idp.settings["client_secret"] in text:
        raise Failure(f"a wrong issuer: {done.returncode} {text}")
    text = server.log.read_text(errors="replace")
    for secret in (idp.settings["client_secret"], urllib.parse.quote(idp.settings["client_secret"]), used, state):
        if secret in text:
            raise Failure("a secret is in the log")


def wrong(server, idp):
    path = server.dir / "wrong.yaml"
    path.write_text("server_url: http://127.0.0.1:8099\nlisten_addr: 127.0.0.1:8099\nderp:\n  server:\n    enabled: false\n"
                    + idp.config().replace(f"issuer: {idp.issuer}", f"issuer: {idp.issuer}/"))
    return path
