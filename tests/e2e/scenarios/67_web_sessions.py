"""Logging in to the API in a browser: who may, what the cookie is worth, what other pages cannot do with it, and the end of it:
by logging out, by the command line, with the user, and as soon as the configuration names somebody no more."""
import json
import os
import signal

import login
from world import POLICY_IN_DATABASE, Failure, wait_for

NEEDS_OIDC = True
JSON = ("-H", "content-type: application/json")


def cookie_of(page):
    """The session's Set-Cookie, as its attributes."""
    for line in page.headers.get("set-cookie", "").split("\n"):
        if line.startswith("hatsize_session="):
            name, *rest = [part.strip() for part in line.split(";")]
            return name.partition("=")[2], {part.partition("=")[0].lower(): part.partition("=")[2] for part in rest}
    raise Failure(f"no session's cookie: {page.headers}")


def run(world):
    idp = login.Provider(world)
    idp.account("alice", email="alice@example.com", email_verified=True, preferred_username="alice")
    idp.account("greta", email="greta@example.com", email_verified=True, preferred_username="greta", groups=["ops"])
    idp.account("susan", email="s@example.com", preferred_username="susan")
    idp.account("eve", email="alice@example.com", email_verified=False, preferred_username="eve", groups=["op"])
    server_url = f"http://{world.next_ip()}:8080"
    idp.start(server_url)
    server = world.server(POLICY_IN_DATABASE + idp.config(
        "  admin_users: [alice@example.com]\n  admin_groups: [ops]\n  admin_subjects: [susan]\n"))
    new = lambda: login.Browser(idp.host, world.dir)
    api = server.url + "/api/v1"

    # Not the first who comes, not by somebody else's mail address, not by a group of another name.
    stranger = new()
    stranger.to_question(server.url + "/login", "eve").must(403, "not an administrator")
    stranger.get(f"{api}/user").must(401)
    if server.json("users", "list"):
        raise Failure("somebody who may not became a user")

    # By mail address, by group, by subject.
    browsers = {}
    for who in ("greta", "susan", "alice"):
        browsers[who] = new()
        page = browsers[who].to_question(server.url + "/login", who).must(200, "Logged In", who)
        value, flags = cookie_of(page)
        if "httponly" not in flags or flags.get("samesite") != "Lax" or flags.get("path") != "/" or "secure" in flags:
            raise Failure(f"the cookie: {flags}")
        browsers[who].get(f"{api}/user").must(200, who)
    alice = browsers["alice"]
    mine = json.loads(alice.get(f"{api}/session").must(200).body)
    if mine["user"]["name"] != "alice" or mine["scopes"] != ["all"]:
        raise Failure(f"the session: {mine}")
    alice.get(server.url + "/api/v2/tailnet/-/devices").must(200, "devices")

    # Writing: from a page of this server only.
    body = ("--data", '{"name":"bob"}')
    alice.request(f"{api}/user", *JSON, *body).must(403)
    alice.request(f"{api}/user", *JSON, *body, "-H", "Origin: http://evil.example").must(403)
    alice.request(f"{api}/user", *JSON, *body, "-H", "Origin: null").must(403)
    alice.request(server.url + "/api/v2/tailnet/-/keys", *JSON, "--data", '{"keyType":"client","scopes":["all"]}').must(403)
    alice.request(f"{api}/user", *JSON, *body, "-H", f"Origin: {server.url}").must(200, "bob")
    alice.request(f"{api}/user/{server.user('bob')}", "-X", "DELETE", "-H", "x-hatsize-request: 1").must(200)
    entry = next(e for e in server.json("audit", "list") if e["action"] == "user.create")
    if "alice" not in entry["author"]:
        raise Failure(f"who made bob: {entry}")

    # The token is good in its cookie only, and by itself.
    token = value
    for header in (f"Authorization: Bearer {token}", f"Cookie: hatsize_session={token[:-1]}{'1' if token[-1] == '0' else '0'}", "Cookie: hatsize_session=x"):
        new().request(f"{api}/user", "-H", header).must(401)

    # A restart ends nothing; logging out does, and for this browser only.
    server.stop()
    server.start()
    alice.get(f"{api}/user").must(200)
    alice.request(f"{api}/session", "-X", "DELETE").must(403)
    alice.request(f"{api}/session", "-X", "DELETE", "-H", f"Origin: {server.url}").must(200)
    new().request(f"{api}/user", "-H", f"Cookie: hatsize_session={token}").must(401)
    browsers["greta"].get(f"{api}/user").must(200)

    # Who is struck from the administrators, while the server runs; the others go on. Then back, and out by another's hand.
    lists = lambda users: POLICY_IN_DATABASE + idp.config(f"  admin_users: [{users}]\n  admin_groups: [ops]\n  admin_subjects: [susan]\n")
    alice.to_question(server.url + "/login", "alice").must(200, "Logged In")
    alice.get(f"{api}/user").must(200)
    server.configure(lists("bob@example.com"))
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("alice's session is over", lambda: alice.get(f"{api}/user").status == 401)
    browsers["greta"].get(f"{api}/user").must(200)
    new().to_question(server.url + "/login", "alice").must(403, "not an administrator")
    server.configure(lists("alice@example.com"))
    os.kill(server.pid(), signal.SIGHUP)
    again = new()
    wait_for("alice may log in again", lambda: again.to_question(server.url + "/login", "alice").status == 200)
    alice.get(f"{api}/user").must(401)
    if {s["login"] for s in server.json("sessions", "list")} != {"alice@example.com", "greta@example.com", "susan"}:
        raise Failure(f"who is logged in: {server.json('sessions', 'list')}")
    its = next(s["id"] for s in server.json("sessions", "list") if s["login"] == "susan")
    server.cli("sessions", "delete", "--id", its)
    browsers["susan"].get(f"{api}/user").must(401)
    again.get(f"{api}/sessions").must(200, "greta@example.com")

    # It goes with the user.
    server.cli("--force", "users", "destroy", "--name", "greta")
    browsers["greta"].get(f"{api}/user").must(401)
    wait_for("the log says why eve may not", lambda: "no administrator" in server.tail(2000))
