"""A policy that is wrong, or fails its own tests, is refused with its place, and nothing changes."""
from world import POLICY_IN_DATABASE, Failure, wait_for

GOOD = """// who may what
{
  "acls": [
    // alice to everyone
    {"action": "accept", "src": ["alice@"], "dst": ["*:7001"]},
  ],
}
"""
BAD = (
    ('{"acls": [}', "line 1"),
    ('{\n  "acls": [{"action": "accept", "src": ["group:none"], "dst": ["*:*"]}]\n}', "group:none"),
    ('{\n  "foo": 1\n}', "foo"),
    ('{"acls": [{"action": "deny", "src": ["*"], "dst": ["*:*"]}]}', "deny"),
    (GOOD.replace("],\n}", '],\n  "tests": [{"src": "alice@", "accept": ["bob@:22"]}],\n}'), "test(s) failed"),
)


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(GOOD)
    alice = world.client("alice", "1.82")
    bob = world.client("bob", "1.102", user="bob")
    bob.echo("tcp:7001", "tcp:22")
    alice.wait_peer("bob")
    alice.wait_ask("tcp", bob.ip4(), 7001)

    def unchanged(what):
        if server.cli("policy", "get").stdout != GOOD:
            raise Failure(f"{what}: policy get: {server.cli('policy', 'get').stdout}")
        if not alice.ask("tcp", bob.ip4(), 7001) or alice.ask("tcp", bob.ip4(), 22, 1):
            raise Failure(f"{what}: another policy is in force")

    for text, word in BAD:
        done = server.policy(text, check=False)
        if done.returncode == 0 or word not in done.stdout + done.stderr:  # headscale.md 11 #75
            raise Failure(f"not refused with {word!r}: {done.stdout}{done.stderr}")
        unchanged(word)
    server.stop()
    server.start()
    unchanged("after a restart")

    # What no longer holds stops nothing: its own test fails once a user is gone, and people are told.
    world.client("carol", "1.102", user="carol")
    tested = GOOD.replace('"alice@"', '"alice@", "carol@"').replace(
        "],\n}", '],\n  "tests": [{"src": "carol@", "accept": ["bob@:7001"]}],\n}')
    server.policy(tested)
    server.cli("nodes", "delete", "--identifier", server.node("carol")["id"], "--force")
    server.cli("users", "destroy", "--name", "carol", "--force")
    health = lambda: (lambda done: done.stdout + done.stderr)(server.cli("health", check=False)).lower()
    for _ in range(2):
        wait_for("health says what is wrong", lambda: "policy" in health() and "carol" in health(), 5)
        if server.cli("policy", "get").stdout != tested or not alice.ask("tcp", bob.ip4(), 7001):
            raise Failure("the policy is not in force any more")
        server.stop()
        server.start()
    server.policy(GOOD)
    wait_for("health is well again", lambda: "policy" not in health(), 5)
