"""Two machines join with auth keys and see each other."""
from world import Failure


def run(world):
    server = world.server()
    alice = world.client("alice")
    bob = world.client("bob", user="bob")
    alice.wait_peer("bob")
    bob.wait_peer("alice")
    if alice.ip4() == bob.ip4():
        raise Failure("both have one address")
    if {n["givenName"] for n in server.nodes()} != {"alice", "bob"}:
        raise Failure(f"nodes list: {server.nodes()}")
    if alice.status()["Self"]["DNSName"].split(".")[0] != "alice":
        raise Failure("alice does not know her name")
    # A one-off key is spent.
    key = server.auth_key("alice")
    world.client("carol", up=False).up(key)
    late = world.client("dave", up=False)
    done = late.ts("up", f"--login-server={server.url}", f"--auth-key={key}", "--timeout=10s", check=False)
    if done.returncode == 0 or "authkey already used" not in done.stdout + done.stderr:
        raise Failure(f"a spent key let somebody in: {done.stdout}{done.stderr}")
