"""Two tailnets with the same people, machines and addresses, and one of their owners hostile: nothing crosses.

What the owner of one may name of another is answered as what there is not: the same status, the same words.
"""
import json
import re

from stranger import Stranger
from world import POLICY_IN_DATABASE, Failure, Host, wait_for

RANGE = "100.99.0.0/24"
UNKNOWN = "999999"


def tailnet(world, server, name):
    """The tailnet, its two machines, and the key of its owner."""
    server.cli("tailnets", "create", name, "--prefixes", RANGE, "--may-overlap")
    server.cli("users", "create", "alice", "--tailnet", name, "--email", f"alice@{name}-secret.example")
    alice = server.json("users", "list", "--tailnet", name)[0]["id"]
    key = server.json("preauthkeys", "create", "--user", alice, "--reusable", "--tailnet", name)["key"]
    clients = []
    for machine in ("laptop", "desk"):
        client = world.client(f"{name}{machine}", up=False)
        client.up(key, hostname=machine)
        clients.append(client)
    return clients, server.json("apikeys", "create", "--tailnet", name)


def by_id(server, name):
    """An id of each kind of thing in the tailnet."""
    def of(*argv):
        return server.json(*argv, "--tailnet", name)
    keys = of("apikeys", "list")
    return {"node": of("nodes", "list")[0]["id"], "user": of("users", "list")[0]["id"], "key": of("preauthkeys", "list")[0]["id"],
            "api": keys[0]["id"], "prefix": keys[0]["prefix"].split("-")[2], "hook": of("webhooks", "list")[0]["endpointId"]}


def routes(ids, name):
    """Every call that takes the id of something."""
    node, user, key, api, hook = ids["node"], ids["user"], ids["key"], ids["api"], ids["hook"]
    v1, v2 = "/api/v1", "/api/v2"
    return [
        ("GET", f"{v1}/node/{node}", None), ("DELETE", f"{v1}/node/{node}", None), ("POST", f"{v1}/node/{node}/expire", "{}"),
        ("POST", f"{v1}/node/{node}/rename/evil", None), ("POST", f"{v1}/node/{node}/tags", '{"tags":["tag:evil"]}'),
        ("POST", f"{v1}/node/{node}/approve_routes", '{"routes":[]}'), ("POST", f"{v1}/node/{node}/user", '{"user":"1"}'),
        ("GET", f"{v1}/node/{node}/routes", None), ("GET", f"{v1}/node?user={user}", None),
        ("DELETE", f"{v1}/user/{user}", None), ("POST", f"{v1}/user/{user}/rename/evil", None), ("GET", f"{v1}/user?id={user}", None),
        ("POST", f"{v1}/preauthkey", json.dumps({"user": user})), ("POST", f"{v1}/preauthkey/expire", json.dumps({"id": key})),
        ("DELETE", f"{v1}/preauthkey?id={key}", None), ("POST", f"{v1}/apikey/expire", json.dumps({"id": api})),
        ("POST", f"{v1}/apikey/expire", json.dumps({"prefix": ids["prefix"]})), ("DELETE", f"{v1}/apikey/{ids['prefix']}", None),
        ("GET", f"{v1}/webhook?tailnet={name}", None), ("DELETE", f"{v1}/webhook/{hook}", None),
        ("POST", f"{v1}/webhook/{hook}/test", "{}"), ("GET", f"{v1}/audit?tailnet={name}", None),
        ("GET", f"{v1}/events?tailnet={name}", None), ("GET", f"{v1}/policy?tailnet={name}", None),
        ("PUT", f"{v1}/policy?tailnet={name}", '{"policy":""}'), ("GET", f"{v1}/dns?tailnet={name}", None),
        ("GET", f"{v1}/ssh/check?tailnet={name}", None), ("GET", f"{v1}/tailnet/{name}", None),
        ("PATCH", f"{v1}/tailnet/{name}", '{"maxNodes":1}'), ("DELETE", f"{v1}/tailnet/{name}", None),
        ("POST", f"{v1}/tailnet/{name}/suspend", None), ("GET", f"{v1}/tailnet/{name}/export", None),
        ("GET", f"{v2}/tailnet/{name}/devices", None), ("GET", f"{v2}/tailnet/{name}/keys", None),
        ("GET", f"{v2}/tailnet/{name}/acl", None), ("POST", f"{v2}/tailnet/{name}/acl", "{}"),
        ("GET", f"{v2}/tailnet/{name}/users", None), ("GET", f"{v2}/tailnet/{name}/settings", None),
        ("GET", f"{v2}/tailnet/{name}/dns/nameservers", None), ("GET", f"{v2}/tailnet/{name}/webhooks", None),
        ("GET", f"{v2}/tailnet/{name}/logging/configuration?start=2020-01-01T00:00:00Z&end=2040-01-01T00:00:00Z", None),
        ("GET", f"{v2}/device/{node}", None), ("DELETE", f"{v2}/device/{node}", None), ("GET", f"{v2}/device/{node}/routes", None),
        ("POST", f"{v2}/device/{node}/name", '{"name":"evil"}'), ("POST", f"{v2}/device/{node}/expire", None),
        ("POST", f"{v2}/device/{node}/ip", '{"ipv4":"100.99.0.77"}'), ("GET", f"{v2}/device/{node}/attributes", None),
        ("GET", f"{v2}/users/{user}", None), ("GET", f"{v2}/tailnet/-/keys/{key}", None), ("DELETE", f"{v2}/tailnet/-/keys/{key}", None),
        ("GET", f"{v2}/webhooks/{hook}", None), ("DELETE", f"{v2}/webhooks/{hook}", None),
        ("GET", f"{v1}/machine/{node}", None), ("POST", f"{v1}/machine/{node}/rename/evil", None),
        ("DELETE", f"{v1}/sessions/{api}", None), ("POST", f"{v1}/routes/{node}/enable", None),
        ("POST", f"{v1}/auth/register", json.dumps({"authId": "hskey-authreq-" + "0" * 24, "user": user})),
        ("GET", f"{v1}/policy/explain?src=alice&dst=laptop&tailnet={name}", None),
    ]


def said(answer, ids, name):
    """An answer without what was asked for, which it may repeat."""
    status, text = answer
    text = re.sub(r'"(timestamp|requestId|instance)":"[^"]*"', "", text)
    for word in sorted([*ids.values(), name], key=len, reverse=True):
        text = re.sub(rf"(?<![0-9A-Za-z]){re.escape(str(word))}(?![0-9A-Za-z])", "*", text)
    return status, text


def hostile_owner(stranger, key, ids, name):
    unknown = {**dict.fromkeys(ids, UNKNOWN), "prefix": "0123456789ab"}
    theirs = stranger.ask(key, routes(ids, name))
    nobodys = stranger.ask(key, routes(unknown, "nowhere"))
    for call, have, want in zip(routes(ids, name), theirs, nobodys):
        have, want = said(have, ids, name), said(want, unknown, "nowhere")
        if have != want:
            raise Failure(f"{call[0]} {call[1]}: {have} of another tailnet, {want} of nothing")
        if have[0] < 400 and "secret" in have[1]:
            raise Failure(f"{call[0]} {call[1]}: {have}")


def state(server, name):
    def of(*argv):
        return server.json(*argv, "--tailnet", name)
    # When somebody was last seen goes on by itself.
    nodes = [{k: n[k] for k in ("id", "name", "givenName", "ipAddresses", "user", "tags", "expiry")} for n in of("nodes", "list")]
    keys = [{k: v for k, v in key.items() if k != "lastSeen"} for key in of("apikeys", "list")]
    return nodes, of("users", "list"), of("preauthkeys", "list"), keys, of("webhooks", "list"), server.json("tailnets", "show", name)


def no_word_of(what, text, words):
    for word in words:
        if word in text:
            at = text.index(word)
            raise Failure(f"{what} tells of {word!r}: …{text[max(0, at - 80):at + 80]}…")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    blues, blue_key = tailnet(world, server, "blue")
    greens, green_key = tailnet(world, server, "green")
    for name in ("blue", "green"):
        server.cli("webhooks", "create", f"https://{name}-secret.example/hook", "--tailnet", name)
    stranger = Stranger(Host(world, "stranger"), server)
    ids, before = by_id(server, "green"), state(server, "green")

    # The same addresses and names, and each machine has its own peer only.
    for blue, green in zip(blues, greens):
        if blue.ip4() != green.ip4():
            raise Failure(f"{blue.name} is {blue.ip4()}, {green.name} is {green.ip4()}: they were to have the same")
    for pair in (blues, greens):
        pair[0].wait_peer("desk")
        if len(pair[0].peers()) != 1:
            raise Failure(f"{pair[0].name} sees {sorted(pair[0].peers())}")
        pair[0].wait_ping(pair[1].ip4())
    blues[1].serve_tcp()
    blues[0].check_tcp(blues[1].ip4())
    if greens[0].ask_tcp(greens[1].ip4(), timeout=2):
        raise Failure("a connection in green came out in blue")
    words = ["green", "alice@green"] + [c.status()["Self"]["PublicKey"] for c in greens]
    netmap = json.dumps(blues[0].netmap())
    no_word_of("a netmap", netmap, words)

    # The owner of blue: everything there is of green, as it is of nothing.
    hostile_owner(stranger, blue_key, ids, "green")
    if state(server, "green") != before:
        raise Failure(f"green changed:\n{before}\n{state(server, 'green')}")
    lists = [("GET", f"/api/v1/{what}", None) for what in ("node", "user", "preauthkey", "apikey", "tailnet", "audit", "webhook",
                                                           "health", "policy", "dns", "routes", "machine")]
    lists += [("GET", f"/api/v2/tailnet/-/{what}", None) for what in ("devices", "users", "keys", "acl", "webhooks", "settings")]
    for call, (status, text) in zip(lists, stranger.ask(blue_key, lists)):
        no_word_of(f"{call[1]} ({status})", text, words + ["default"])
    # What everybody may read has the names of none.
    for path in ("/metrics", "/health", "/key?v=130", "/derp", "/.well-known/openid-configuration"):
        no_word_of(path, stranger.ask(None, [("GET", path, None)])[0][1], words + ["blue"])

    # Suspended: blue's machines lose access and its key opens nothing, green does not notice.
    server.cli("tailnets", "suspend", "blue", "--force")
    for client in blues:
        wait_for(f"{client.name} has no access", lambda: client.state() != "Running", 20)
    status, text = stranger.ask(blue_key, [("GET", "/api/v1/node", None)])[0]
    if status != 403 or "suspended" not in text:
        raise Failure(f"a suspended tailnet's key: {status} {text}")
    if not greens[0].ping(greens[1].ip4()):
        raise Failure("green's machines do not reach each other any more")
    server.cli("tailnets", "resume", "blue")
    for client in blues:
        client.wait_running(60)
    blues[0].wait_ping(blues[1].ip4())

    # Deleted: nothing of it is left but that it was.
    server.cli("tailnets", "delete", "blue", "--force")
    for client in blues:
        wait_for(f"{client.name} is logged out", lambda: client.state() != "Running", 20)
    status, _ = stranger.ask(blue_key, [("GET", "/api/v1/node", None)])[0]
    if status != 401:
        raise Failure(f"a deleted tailnet's key: {status}")
    export = server.cli("export").stdout
    no_word_of("the export", export, ["blue-secret", "blue.", "alice@blue"])
    if export.count("tailnet.delete") != 1:
        raise Failure("the audit log does not have one line of the deletion")
    if len(greens[0].peers()) != 1 or not greens[0].ping(greens[1].ip4()):
        raise Failure("green lost something")
