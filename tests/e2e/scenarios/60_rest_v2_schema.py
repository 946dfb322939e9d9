"""REST v2 against its own document: schemathesis asks every call, and no answer is a 5xx (but the 501 of what is not
here) or another than described. As 40 does for v1; skipped without schemathesis.
"""
import json

from world import POLICY_IN_DATABASE, Failure, Host, from_packages

CHECKS = "status_code_conformance,content_type_conformance,response_schema_conformance"


def run(world):
    program = from_packages("schemathesis", "schemathesis.txt", "schemathesis")
    server = world.server(POLICY_IN_DATABASE)
    world.client("alice")
    server.policy({"tagOwners": {"tag:a": ["alice@"]}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
    device = server.node("alice")["id"]
    first = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    # One whose id nobody guesses who tries small ones: else it would be deleted on the way.
    made = laptop.run("curl", "-s", "--max-time", "60", "-X", "POST", "-H", f"Authorization: Bearer {first}",
                      *[f"{server.url}/api/v1/apikey"] * 120).stdout
    key = json.loads(made.splitlines()[-1])["apiKey"]

    def get(path):
        return json.loads(laptop.run("curl", "-s", "--max-time", "20", "-u", f"{key}:", f"{server.url}/api/v2/{path}").stdout)

    for path, release in (("openapi.json", "3.1.0"), ("openapi-3.0.json", "3.0.3")):
        if get(path)["openapi"] != release:
            raise Failure(f"{path} is not OpenAPI {release}")

    done = laptop.run(
        "env", f"HYPOTHESIS_STORAGE_DIRECTORY={server.dir / 'hypothesis'}", "sh", "-c", 'cd "$0" && exec "$@"', server.dir,
        program, "run", f"{server.url}/api/v2/openapi.json", "--checks", CHECKS, "--experimental=openapi-3.1",
        "--hypothesis-max-examples", "4", "--hypothesis-seed", "7", "--hypothesis-phases", "explicit,generate",
        "--hypothesis-suppress-health-check", "all", "--hypothesis-deadline", "60000", "--hypothesis-database", "none",
        "--request-timeout", "60000", "--set-path", "tailnet=-", "--set-path", f"deviceId={device}", "--set-path", "userId=1",
        "--exclude-operation-id", "deleteDevice", "--exclude-operation-id", "deleteUser", "-H", f"Authorization: Bearer {key}", check=False, timeout=400)
    if done.returncode != 0 or " passed in " not in done.stdout:
        told = done.stdout.split(" WARNINGS ")[0]
        raise Failure(f"schemathesis: exit {done.returncode}\n{told[-8000:]}{done.stderr[-2000:]}")
    # It was let in all along, and the server is none the worse.
    if "users" not in get("tailnet/-/users"):
        raise Failure("the key is gone")
    if key[23:] in server.log.read_text():
        raise Failure("the log shows a key")
