"""People, told by an administrator without any log-in: an invitation made, listed and taken back; a user suspended, whose
machines leave everybody's map and have no access, and restored with no new log-in; a role given over the API; and to
another tailnet's key none of it is there.
"""
import json
import re

from world import Failure, Host, wait_for

ASK = """
import http.client, json, sys
host, port, calls = json.load(sys.stdin)
answers = []
for key, method, path, body in calls:
    c = http.client.HTTPConnection(host, int(port), timeout=20)
    c.request(method, path, body=body or "", headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
    r = c.getresponse()
    answers.append([r.status, r.read().decode("utf-8", "replace")])
    c.close()
print(json.dumps(answers))
"""


def asker(world, server):
    host = Host(world, "asker")
    address = server.url.removeprefix("http://").split(":")

    def ask(*calls):
        return json.loads(host.run("python3", "-c", ASK, input=json.dumps([*address, calls])).stdout)
    return ask


def same(what, have, want):
    if have != want:
        raise Failure(f"{what}: {have!r}, not {want!r}")


def invitations(server):
    link = server.cli("users", "invite", "--role", "auditor", "--email", "ann@example.com").stdout.strip()
    if not re.fullmatch(rf"{re.escape(server.url)}/invite/hskey-invite-\S+", link):
        raise Failure(f"an invitation's link: {link!r}")
    have = server.json("users", "invites")
    same("the invitations", [(i["role"], i["email"], "url" in i) for i in have], [("auditor", "ann@example.com", False)])
    if link.rsplit("/", 1)[1] in server.cli("users", "invites").stdout + server.cli("export").stdout:
        raise Failure("an invitation's secret is shown again")
    server.cli("users", "uninvite", have[0]["id"])
    same("the invitations left", server.json("users", "invites"), [])
    if server.cli("users", "uninvite", have[0]["id"], check=False).returncode == 0:
        raise Failure("an invitation was taken back twice")


def suspension(server, mine, yours):
    """`mine` is alice's, `yours` another's."""
    address = yours.ip4()
    server.cli("users", "suspend", "alice", "--force")
    same("alice", server.json("users", "list", "--name", "alice")[0]["status"], "suspended")
    same("what holds her machine", server.node("mine")["holds"], ["user-suspended"])
    wait_for("alice's machine is out of the other's map", lambda: "mine" not in yours.peers(), 20)
    wait_for("alice's machine has no peers", lambda: not mine.peers(), 20)
    if mine.ping(address, timeout=2):
        raise Failure("the machine of a suspended user reaches another")
    server.cli("users", "restore", "alice")
    same("alice", server.json("users", "list", "--name", "alice")[0]["status"], "active")
    mine.wait_running()
    yours.wait_peer("mine")
    mine.wait_ping(address)


def devices(server, mine, yours):
    if server.cli("nodes", "unapprove", "--identifier", server.node("mine")["id"], check=False).returncode == 0:
        raise Failure("an approval was taken back where none is asked for")
    server.cli("tailnets", "set", "default", "--device-approval", "on")
    same("what holds the machine that is there", server.node("mine")["holds"], [])
    server.cli("nodes", "unapprove", "--identifier", server.node("mine")["id"])
    same("what holds the machine", server.node("mine")["holds"], ["device-needs-approval"])
    if "device-needs-approval" not in server.cli("nodes", "list").stdout:
        raise Failure("the list of machines does not say which one waits")
    wait_for("the machine is out of the other's map", lambda: "mine" not in yours.peers(), 20)
    server.cli("nodes", "approve", "--identifier", server.node("mine")["id"])
    yours.wait_peer("mine")
    mine.wait_ping(yours.ip4())
    server.cli("tailnets", "set", "default", "--device-approval", "off")


def roles(server, ask):
    """A key of somebody may what his role may, now."""
    server.cli("tailnets", "set", "default", "--join", "domain:example.com,role=auditor", "--join", "group:oidc:it,no-approve",
               "--user-approval", "on")
    tailnet = server.json("tailnets", "show", "default")
    same("the rules", [(r["by"], r["value"], r["needsApproval"], r["role"]) for r in tailnet["joining"]],
         [("domain", "example.com", True, "auditor"), ("group", "oidc:it", False, "member")])
    same("whether people wait", tailnet["userApproval"], True)
    server.cli("tailnets", "set", "default", "--join", "default", "--user-approval", "off")
    same("the rules", server.json("tailnets", "show", "default")["joining"], None)
    bob, key = server.user("bob"), server.json("apikeys", "create")
    for role in ("it-admin", "auditor", "admin", "member"):
        (status, text), = ask((key, "POST", f"/api/v2/users/{bob}/role", json.dumps({"role": role})))
        same(f"giving the role {role}", status, 200)
        same("his role", server.json("users", "list", "--name", "bob")[0]["role"], role)
    (status, text), = ask((key, "POST", f"/api/v1/user/{bob}/role", '{"role":"king"}'))
    same("a role that is none", status, 400)


def strangers(server, ask):
    """What is of another tailnet is answered as what there is not."""
    server.cli("tailnets", "create", "blue")
    theirs = server.json("apikeys", "create", "--tailnet", "blue")
    user, node = server.user("alice"), server.node("mine")["id"]
    invite = server.json("users", "invite")["id"]

    def calls(user, node, invite, tailnet):
        v1, v2 = "/api/v1", "/api/v2"
        return [(theirs, method, path, body) for method, path, body in (
            *(("POST", f"{v1}/user/{user}/{what}", '{"role":"member"}') for what in ("approve", "suspend", "restore", "role")),
            *(("POST", f"{v2}/users/{user}/{what}", '{"role":"member"}') for what in ("approve", "suspend", "restore", "role", "delete")),
            ("POST", f"{v1}/node/{node}/approve", '{"approved":false}'), ("POST", f"{v2}/device/{node}/authorized", '{"authorized":false}'),
            ("DELETE", f"{v1}/user-invite/{invite}", None), ("DELETE", f"{v2}/user-invites/{invite}", None),
            ("GET", f"{v2}/user-invites/{invite}", None), ("GET", f"{v1}/user-invite?tailnet={tailnet}", None),
            ("POST", f"{v1}/user-invite?tailnet={tailnet}", "{}"), ("GET", f"{v2}/tailnet/{tailnet}/user-invites", None),
            ("POST", f"{v2}/tailnet/{tailnet}/user-invites", '[{"role":"owner"}]'),
            ("PATCH", f"{v1}/tailnet/{tailnet}", '{"joining":[{"by":"anyone","role":"admin"}]}'),
            ("PATCH", f"{v2}/tailnet/{tailnet}/settings", '{"devicesApprovalOn":true}'))]

    real, none = calls(user, node, invite, "default"), calls("987654", "987654", "987654", "nowhere")
    for call, have, want in zip(real, ask(*real), ask(*none)):
        if have != want or have[0] < 400:
            raise Failure(f"{call[1]} {call[2]}: {have} of another tailnet, {want} of nothing")
    same("the list of its own", ask((theirs, "GET", "/api/v1/user-invite", None))[0][0], 200)
    same("the invitations", [i["id"] for i in server.json("users", "invites")], [invite])


def run(world):
    server = world.server()
    ask = asker(world, server)
    mine, yours = world.client("mine", up=False), world.client("yours", up=False)
    mine.up(server.auth_key("alice"))
    yours.up(server.auth_key("bob"))
    mine.wait_ping(yours.ip4())
    invitations(server)
    suspension(server, mine, yours)
    devices(server, mine, yours)
    roles(server, ask)
    strangers(server, ask)
