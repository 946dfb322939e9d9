"""Taildrive: a share that one user may write, another may read and a third may not see."""
from world import POLICY_IN_DATABASE, Failure, wait_for

DRIVE = "tailscale.com/cap/drive"
WEB = "http://100.100.100.100:8080"
POLICY = {
    "tagOwners": {"tag:files": ["alice@"]},
    "nodeAttrs": [{"target": ["tag:files"], "attr": ["drive:share"]}, {"target": ["autogroup:member"], "attr": ["drive:access"]}],
    "grants": [
        {"src": ["*"], "dst": ["*"], "ip": ["*"]},
        {"src": ["alice@"], "dst": ["tag:files"], "app": {DRIVE: [{"shares": ["docs"], "access": "rw"}]}},
        {"src": ["bob@"], "dst": ["tag:files"], "app": {DRIVE: [{"shares": ["docs"], "access": "ro"}]}},
    ],
}


def curl(client, *argv):
    done = client.host.run("curl", "-s", "--max-time", "15", "-w", "\n%{http_code}", *argv, check=False)
    text, _, status = done.stdout.rpartition("\n")
    return int(status or 0), text


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    files = world.client("files", "1.102", up=False).up(server.tags_key("tag:files"))
    docs = files.dir / "docs"
    docs.mkdir()
    (docs / "hello").write_text("hello from files\n")
    files.ts("drive", "share", "docs", docs)
    if "docs" not in files.ts("drive", "list").stdout:
        raise Failure("the share is not listed")
    alice = world.client("alice", "1.102")
    bob = world.client("bob", "1.90", user="bob")
    carol = world.client("carol", "1.102", user="carol")
    base = f"{WEB}/tailnet.internal/files/docs"
    # headscale.md 11 #80
    for c in (alice, bob):
        c.wait_ping(files.ip4())
        wait_for(f"{c.name} reads", lambda: curl(c, f"{base}/hello") == (200, "hello from files\n"), 60)
    note = world.dir / "note"
    note.write_text("written by alice\n")
    wait_for("alice writes", lambda: curl(alice, "-T", note, f"{base}/note")[0] in (200, 201, 204), 30)
    if (docs / "note").read_text() != note.read_text():
        raise Failure("what alice wrote is garbled")
    wait_for("bob reads what alice wrote", lambda: curl(bob, f"{base}/note") == (200, note.read_text()))
    status, text = curl(bob, "-T", note, f"{base}/bobs")
    if status != 403 or (docs / "bobs").exists():
        raise Failure(f"bob, who may read, wrote: {status} {text}")
    carol.wait_ping(files.ip4())
    status, text = curl(carol, f"{base}/hello")
    if status == 200 or "hello" in text:
        raise Failure(f"carol, who may nothing, read: {status} {text}")
    # What is granted and taken away counts at once.
    POLICY["grants"][2]["app"][DRIVE][0]["access"] = "rw"
    del POLICY["grants"][1]
    server.policy(POLICY)
    wait_for("bob writes", lambda: curl(bob, "-T", note, f"{base}/bobs")[0] in (200, 201, 204), 30)
    wait_for("alice reads no more", lambda: curl(alice, f"{base}/hello")[0] != 200, 30)
