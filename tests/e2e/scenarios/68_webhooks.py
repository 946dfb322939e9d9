"""Webhooks: signed events reach a receiver in order, as real machines join, and none is lost while it or the server is down.

The receiver checks nothing; here each signature is checked with the secret that was shown. Repetitions are allowed
(at least once), other orders are not.
"""
import base64
import json
import pathlib
import sys

from webhooks import is_signed
from world import POLICY_IN_DATABASE, Failure, Host, wait_for

RECEIVER = pathlib.Path(__file__).parent.parent / "webhooks.py"
POLICY = {"acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]}


class Receiver:
    def __init__(self, world):
        self.host, self.file, self.log = Host(world, "hooks"), world.dir / "hooks.jsonl", world.dir / "hooks.log"
        self.proc = None

    def start(self):
        self.proc = self.host.spawn(sys.executable, RECEIVER, "8000", self.file, log=self.log)

    def stop(self):
        self.host.end(self.proc)

    def url(self, path="/hook"):
        return f"http://{self.host.ip}:8000{path}"

    def requests(self, path="/hook"):
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        return [request for request in map(json.loads, lines) if request["path"] == path]

    def events(self, secret, path="/hook"):
        """All events signed with the secret, in order, each once."""
        told = []
        for request in self.requests(path):
            if not is_signed(request, secret):
                continue
            for event in json.loads(base64.b64decode(request["body"])):
                if event not in told:
                    told.append(event)
        return told


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    receiver = Receiver(world)
    receiver.start()
    secret = server.cli("webhooks", "create", receiver.url()).stdout.strip()
    if not secret.startswith("hskey-webhook-"):
        raise Failure(f"no secret was shown: {secret}")
    hook = server.json("webhooks", "list")[0]
    if hook["endpointUrl"] != receiver.url() or "secret" in hook:
        raise Failure(f"another webhook is listed: {hook}")

    def told():
        return [(event["type"], event["data"].get("deviceName", event["data"].get("user", ""))) for event in
                receiver.events(secret)]

    # What people and machines do.
    alice = world.client("alice")
    node = server.node("alice")
    wait_for("the machine is told of", lambda: "nodeCreated" in [what for what, _ in told()])
    server.policy(POLICY)
    server.cli("nodes", "delete", "--identifier", node["id"], "--force")
    wait_for("the deletion is told of", lambda: "nodeDeleted" in [what for what, _ in told()])
    names = [what for what, _ in told()]
    if names != ["userCreated", "nodeCreated", "policyUpdate", "nodeDeleted"]:
        raise Failure(f"other events or another order: {names}")
    created = receiver.events(secret)[1]
    if (not created["data"]["deviceName"].startswith("alice.") or created["data"]["managedBy"] != "alice"
            or created["version"] != 1 or created["message"] != "Node alice created"):
        raise Failure(f"another event: {created}")
    if any(not is_signed(request, secret) or request["type"] != "application/json" for request in receiver.requests()):
        raise Failure("a message is not signed")

    # A machine that waits for an administrator, and is let in.
    bob = world.client("bob", up=False)
    bob.spawn_ts("up", f"--login-server={server.url}", "--accept-dns=false")
    wait_for("it waits", lambda: "nodeNeedsApproval" in [what for what, _ in told()])
    wait_for("its URL is shown", lambda: "/register/" in (bob.status().get("AuthURL") or ""))
    server.cli("auth", "register", "--user", "alice", "--auth-id", bob.status()["AuthURL"].rsplit("/", 1)[1])
    bob.wait_running()
    wait_for("its approval is told of", lambda: "nodeApproved" in [what for what, _ in told()])

    # The receiver goes, the server dies, both come back: nothing that was confirmed is lost.
    receiver.stop()
    for name in ("u1", "u2", "u3"):
        server.cli("users", "create", name)
    server.kill()
    server.start()
    server.cli("users", "create", "u4")
    receiver.start()
    wait_for("all are told of", lambda: ("userCreated", "u4") in told(), 60)
    users = [user for what, user in told() if what == "userCreated" and user.startswith("u")]
    if users != ["u1", "u2", "u3", "u4"]:
        raise Failure(f"lost or in another order: {users}")

    # Another secret, and a test.
    rotated = server.cli("webhooks", "rotate", hook["endpointId"]).stdout.strip()
    server.cli("webhooks", "test", hook["endpointId"])
    wait_for("the test comes", lambda: "test" in [event["type"] for event in receiver.events(rotated)])
    if rotated == secret or any(event["type"] == "test" for event in receiver.events(secret)):
        raise Failure("the old secret still signs")

    # By REST v2, for a chat.
    key = server.cli("apikeys", "create").stdout.strip()

    def v2(method, path, body=None):
        flags = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body is not None else []
        return json.loads(receiver.host.run("curl", "-s", "--max-time", "20", "-X", method, "-u", f"{key}:", *flags,
                                            f"{server.url}/api/v2/{path}").stdout)

    chat = v2("POST", "tailnet/-/webhooks", {"endpointUrl": receiver.url("/chat"), "providerType": "slack",
                                             "subscriptions": ["userDeleted"]})
    if not chat["secret"] or chat["providerType"] != "slack" or v2("GET", f"webhooks/{chat['endpointId']}").get("secret"):
        raise Failure(f"v2 made another webhook: {chat}")
    server.cli("users", "destroy", "--name", "u4", "--force")
    wait_for("the chat hears of it", lambda: receiver.requests("/chat"))
    text = json.loads(base64.b64decode(receiver.requests("/chat")[0]["body"]))["text"]
    if not text.endswith("User u4 deleted"):
        raise Failure(f"the chat got {text}")
    if v2("PATCH", f"webhooks/{chat['endpointId']}", {"subscriptions": ["policyUpdate"]})["subscriptions"] != ["policyUpdate"]:
        raise Failure("v2 changed no subscription")
    v2("POST", f"webhooks/{chat['endpointId']}/test")
    v2("POST", f"webhooks/{chat['endpointId']}/rotate")
    v2("DELETE", f"webhooks/{chat['endpointId']}")
    if len(v2("GET", "tailnet/-/webhooks")["webhooks"]) != 1:
        raise Failure("v2 deleted no webhook")
    if v2("POST", "tailnet/-/webhooks", {"endpointUrl": "ftp://x/", "subscriptions": ["test"]})["status"] != 400:
        raise Failure("v2 took a wrong URL")

    # This machine itself is not to be reached by who may make a webhook.
    server.cli("webhooks", "create", "http://localhost:9090/metrics")
    inside = server.json("webhooks", "list")[-1]["endpointId"]
    server.cli("webhooks", "test", inside)
    wait_for("it is refused", lambda: "not to be connected to" in server.log.read_text())

    log = server.log.read_text()
    if any(word[-64:] in log for word in (secret, rotated, chat["secret"])):
        raise Failure("the log shows a secret")
    audited = [entry["action"] for entry in server.json("audit", "list")]
    if not {"webhook.create", "webhook.rotate", "webhook.update", "webhook.delete"} <= set(audited):
        raise Failure(f"not audited: {audited}")
    alice.stop()
