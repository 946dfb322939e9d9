"""The REST API against its own document: schemathesis asks every call, and no answer is a 5xx or another than described.

It is a Python package, pinned with all it needs in schemathesis.txt, in a virtual environment of its own; without it the
scenario is skipped. Seed and number of requests are fixed, so that two runs ask the same.
"""
import json

from world import POLICY_IN_DATABASE, Failure, Host, from_packages

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


def run(world):
    program = from_packages("schemathesis", "schemathesis.txt", "schemathesis")
    server = world.server(POLICY_IN_DATABASE)
    world.client("alice")
    server.auth_key("bob", "--reusable")
    server.policy({"tagOwners": {"tag:a": ["alice@"]}, "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
    first = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    # One whose id nobody guesses who tries small ones: else it would be deleted on the way.
    made = laptop.run("curl", "-s", "--max-time", "60", "-X", "POST", "-H", f"Authorization: Bearer {first}",
                      *[f"{server.url}/api/v1/apikey"] * 120).stdout
    key = json.loads(made.splitlines()[-1])["apiKey"]

    def get(path, *headers):
        flags = [word for header in headers for word in ("-H", header)]
        return laptop.run("curl", "-s", "--max-time", "20", *flags, f"{server.url}{path}").stdout

    for path, release in (("openapi.json", "3.1.0"), ("openapi.yaml", "3.1.0"), ("openapi-3.0.json", "3.0.3"),
                          ("openapi-3.0.yaml", "3.0.3")):
        if json.loads(get(f"/api/v1/{path}"))["openapi"] != release:
            raise Failure(f"{path} is not OpenAPI {release}")
    for path in ("/api/v1/docs", "/swagger"):
        if "/api/v1/node/{nodeId}" not in get(path):
            raise Failure(f"{path} does not name the calls")

    done = laptop.run(
        "env", f"HYPOTHESIS_STORAGE_DIRECTORY={server.dir / 'hypothesis'}", "sh", "-c", 'cd "$0" && exec "$@"', server.dir,
        program, "run", f"{server.url}/api/v1/openapi.json", "--checks", CHECKS, "--experimental=openapi-3.1",
        "--hypothesis-max-examples", "6", "--hypothesis-seed", "7", "--hypothesis-phases", "explicit,generate",
        "--hypothesis-suppress-health-check", "all", "--hypothesis-deadline", "60000", "--hypothesis-database", "none",
        "--exclude-operation-id", "events",  # a stream that does not end
        "--request-timeout", "60000", "-H", f"Authorization: Bearer {key}", check=False, timeout=400)
    if done.returncode != 0 or " passed in " not in done.stdout:
        raise Failure(f"schemathesis: exit {done.returncode}\n{done.stdout[-8000:]}{done.stderr[-2000:]}")
    # It was let in all along, and the server is none the worse.
    if "users" not in json.loads(get("/api/v1/user", f"Authorization: Bearer {key}")):
        raise Failure("the key is gone")
    if key[23:] in server.log.read_text():
        raise Failure("the log shows a key")
