"""A tagged key makes a node that belongs to its tags."""
from world import Failure


def run(world):
    server = world.server()
    alice = world.client("alice")
    web = world.client("web", up=False).up(server.tags_key("tag:web", "tag:prod"))
    peer = alice.wait_peer("web")
    if sorted(peer.get("Tags") or []) != ["tag:prod", "tag:web"]:
        raise Failure(f"alice sees other tags: {peer.get('Tags')}")
    node = server.node("web")
    if node["tags"] != ["tag:prod", "tag:web"] or node["user"]["name"] != "tagged-devices" or node["expiry"]:
        raise Failure(f"the node: {node}")
    alice.wait_ping(web.ip4())
    # Tags come from the key, not from the client.
    other = world.client("other", up=False)
    done = other.ts("up", f"--login-server={server.url}", f"--auth-key={server.auth_key()}",
                    "--advertise-tags=tag:web", "--timeout=10s", check=False)
    if done.returncode == 0:
        raise Failure("a client gave itself a tag")
