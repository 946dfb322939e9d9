"""REST v2 through Tailscale's own Go library (tests/e2e/library): the policy under its ETag, devices, users, settings,
DNS, keys, an OAuth client's tokens, webhooks, with a connected client; a posture asks for a custom attribute.

The library is what Terraform's provider and the Kubernetes operator are made of; what the operator does with its OAuth
client is headscale.md 11 #119, but for the operator itself."""
import json

from world import POLICY_IN_DATABASE, Failure, Host, built


def run(world):
    program = built("library", "library")
    server = world.server(POLICY_IN_DATABASE)
    alice, gate = world.client("alice"), world.client("router", flags=("--advertise-routes=10.9.0.0/24",))
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")

    # What a posture says of a machine counts at once, and its end is the end of it.
    device = str(server.node("alice")["id"])
    server.policy({"postures": {"posture:p": ["custom:tier == 'prod'"]},
                   "acls": [{"action": "accept", "src": ["alice@"], "srcPosture": ["posture:p"], "dst": ["*:*"]}]})
    router = gate.ip4()

    def post(path, body):
        laptop.run("curl", "-sf", "--max-time", "20", "-u", f"{key}:", "-d", body, f"{server.url}/api/v2/{path}")

    if alice.ts("ping", "--c=1", "--timeout=1s", "--until-direct=false", router, check=False).returncode == 0:
        raise Failure("reached without the attribute")
    post(f"device/{device}/attributes/custom:tier", '{"value": "prod"}')
    alice.wait_ping(router)
    # Which rules are about whom: the library has no call for it.
    def rules(query):
        out = laptop.run("curl", "-sf", "--max-time", "20", "-u", f"{key}:", "-d", "", f"{server.url}/api/v2/tailnet/-/acl/preview?{query}").stdout
        return [(m["users"], m["ports"], m["postures"]) for m in json.loads(out)["matches"]]

    for query in ("type=user&previewFor=alice", f"type=ipport&previewFor={router}:22"):
        if rules(query) != [(["alice@"], ["*:*"], ["posture:p"])]:
            raise Failure(f"{query}: {rules(query)}")
    server.policy({})

    done = laptop.run(program, server.url, key, check=False, timeout=120)
    if done.stdout.strip() != "ok":
        raise Failure(f"the library: {done.stdout}{done.stderr[-2000:]}")
