"""A hostile owner with a browser: a web session of one tailnet names what another has, in every call; answers the question of
the log-in with a tailnet that was not asked about; asks from a page of his own making. Each is answered as what there is not.
And a machine of his that waits for approval is given no token that says who it is.
"""
import importlib
import json
import pathlib
import re
import secrets
import sys

import login
from stranger import Stranger
from world import POLICY_IN_DATABASE, Failure, Host

NEEDS_OIDC = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
apart, raw = importlib.import_module("105_apart"), importlib.import_module("106_apart_raw")


class Web(Stranger):
    """Shows a cookie where others show a key."""

    more = {"X-Hatsize-Request": "1"}

    def head(self, cookie):
        return {"Cookie": f"hatsize_session={cookie}", "Content-Type": "application/json", **self.more}


def cookie_of(browser):
    found = re.search(r"hatsize_session\t(\S+)", browser.jar.read_text())
    return found.group(1) if found else ""


def owner(server, name):
    """mallory, who comes by an identity provider, made an owner of it."""
    user = next(u for u in server.json("users", "list", "--tailnet", name) if u["name"] == "mallory")
    server.cli("users", "role", user["name"], "owner", "--tailnet", name)


def fill(server, name):
    """Something of each kind in it."""
    user = server.json("users", "create", "alice", "--tailnet", name)["id"]
    server.cli("preauthkeys", "create", "--user", user, "--tailnet", name)
    server.cli("apikeys", "create", "--tailnet", name)
    server.cli("webhooks", "create", f"https://{name}-secret.example/hook", "--tailnet", name)


def held(server, host, bench):
    """A machine of blue that waits for approval."""
    server.cli("tailnets", "set", "blue", "--device-approval", "on")
    user = next(u["id"] for u in server.json("users", "list", "--tailnet", "blue") if u["name"] == "alice")
    key = server.json("preauthkeys", "create", "--user", user, "--tailnet", "blue")["key"]
    machine = raw.Machine(host, bench, server.url)
    status, text = machine.ask("/machine/register", {"Version": 130, "NodeKey": machine.key, "Auth": {"AuthKey": key},
                                                     "Hostinfo": {"OS": "linux", "Hostname": "held"}})
    if status != 200 or json.loads(text)["MachineAuthorized"]:
        raise Failure(f"the machine does not wait: {status} {text}")
    return machine


def token(machine):
    return machine.ask("/machine/id-token", {"CapVersion": 130, "NodeKey": machine.key, "Audience": "x"})


def run(world):
    idp = login.Provider(world)
    idp.account("mallory", email="mallory@example.com", email_verified=True, preferred_username="mallory")
    idp.start(f"http://{world.next_ip()}:8080")
    server = world.server(POLICY_IN_DATABASE + idp.config())
    bench = world.hatsize.parent / "hatsize-bench"
    for name in ("blue", "red", "green"):
        server.cli("tailnets", "create", name)
    server.cli("tailnets", "set", "default", "--join", "none")
    for name in ("blue", "green"):
        fill(server, name)
    web = Web(Host(world, "stranger"), server)
    raw.Machine(web.host, bench, server.url).join(
        server.json("preauthkeys", "create", "--tailnet", "green", "--user",
                    next(u["id"] for u in server.json("users", "list", "--tailnet", "green")))["key"], "desk")

    # Owner of two: the log-in asks which, and takes no third.
    browser = login.Browser(idp.host, world.dir)
    for name in ("blue", "red"):
        link = server.json("users", "invite", "--role", "member", "--tailnet", name)["url"]
        browser.yes(browser.to_question(link, "mallory").must(200)).must(200, "You are a member")
        owner(server, name)
    green = server.json("tailnets", "show", "green")["id"]
    page = browser.to_question(server.url + "/login", "mallory").must(200, ">blue</button>", ">red</button>")
    apart.no_word_of("the log-in's question", page.body, ["green", green, "default"])
    action, fields = page.form()
    for forged in (green, "987654321"):
        if browser.post(action, {**fields, "tailnet": forged}).must((400, 403, 410)) and cookie_of(browser):
            raise Failure(f"a session in tailnet {forged}")
    page = browser.to_question(server.url + "/login", "mallory").must(200)
    action, fields = page.form()
    blue = server.json("tailnets", "show", "blue")["id"]
    browser.post(action, {**fields, "tailnet": blue}).must(200, "Logged In")
    cookie = cookie_of(browser)
    if not cookie:
        raise Failure(f"no session: {browser.jar.read_text()}")

    # What is blue's opens; what is green's is as nothing, in every call.
    status, text = web.ask(cookie, [("GET", "/api/v1/user", None)])[0]
    if status != 200 or sorted(u["name"] for u in json.loads(text)["users"]) != ["alice", "mallory"]:
        raise Failure(f"blue's owner sees {status} {text}")
    ids, before = apart.by_id(server, "green"), apart.state(server, "green")
    apart.hostile_owner(web, cookie, ids, "green")
    # Not even that session tells another site's page anything, or does anything for it.
    web.more = {"Origin": "https://evil.example"}
    for (method, path, _), (status, text) in zip(apart.routes(ids, "green"), web.ask(cookie, apart.routes(ids, "green"))):
        if method != "GET" and status not in (403, 404):
            raise Failure(f"{method} {path} from another page: {status} {text}")
    status, _ = web.ask(cookie, [("POST", "/api/v1/user", '{"name":"eve"}')])[0]
    if status != 403 or len(server.json("users", "list", "--tailnet", "blue")) != 2:
        raise Failure(f"another page made a user: {status}")
    if apart.state(server, "green") != before:
        raise Failure(f"green changed:\n{before}\n{apart.state(server, 'green')}")

    machine = held(server, web.host, bench)
    status, text = token(machine)
    if status != 403:
        raise Failure(f"a token for a machine that waits: {status} {text}")
    node = next(n["id"] for n in server.json("nodes", "list", "--tailnet", "blue") if n["givenName"] == "held")
    server.cli("nodes", "approve", "--identifier", node, "--tailnet", "blue")
    status, text = token(machine)
    if status != 200 or "id_token" not in json.loads(text):
        raise Failure(f"no token for a machine that was let in: {status} {text}")
    # Green's key in its mouth is nobody's.
    machine.key = "nodekey:" + secrets.token_hex(32)
    if token(machine)[0] != 401:
        raise Failure("a token for a key that is nobody's")
