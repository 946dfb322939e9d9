"""`tailscale ssh`: let in, refused, and cut off when the policy changes; on three releases."""
import time

from world import POLICY_IN_DATABASE, Failure, wait_for

VERSIONS = (("old", "1.82"), ("middle", "1.90"), ("new", "1.102"))


def policy(*ssh):
    return {
        "tagOwners": {"tag:server": ["alice@"], "tag:tape": ["alice@"]},
        "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
        "ssh": list(ssh),
    }


def rule(**members):
    return {"action": "accept", "src": ["alice@"], "dst": ["tag:server"], "users": ["root"], **members}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy(rule()))
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"), "--ssh")
               for name, version in VERSIONS]
    alice = world.client("alice", "1.102")
    bob = world.client("bob", "1.90", user="bob")
    for s in servers:
        for c in (alice, bob):
            wait_for(f"{c.name} has {s.name}'s host keys", lambda: c.wait_peer(s.name).get("sshHostKeys"))
        session = alice.ssh(f"root@{s.name}", "echo", "i am $(whoami)")
        session.wait_text("i am root")
        if session.wait_end() != 0:
            raise Failure(f"ssh failed: {session.text()}")
        refused = alice.ssh(f"nobody@{s.name}", "whoami")
        stranger = bob.ssh(f"root@{s.name}", "whoami")
        # 1.82 does not say which it was.
        old = "failed to evaluate SSH policy"
        refused.wait_text(old if s.name == "old" else "policy does not permit you to SSH as user")
        stranger.wait_text(old if s.name == "old" else "policy does not permit you to SSH to this node")
        if refused.wait_end() == 0 or stranger.wait_end() == 0:
            raise Failure("a refused session ended well")

    # autogroup:nonroot is everybody but root.
    server.policy(policy(rule(users=["autogroup:nonroot"])), seen_by=servers)
    for s in servers:
        session = alice.ssh(f"nobody@{s.name}", "echo", "hello")
        if session.wait_end() != 0 and "account is currently not available" not in session.text():
            raise Failure(f"nobody was refused: {session.text()}")
        if alice.ssh(f"root@{s.name}", "whoami").wait_end() == 0:
            raise Failure("root was let in as nonroot")

    # What is open ends with its rule.
    server.policy(policy(rule()), seen_by=servers)
    sessions = [alice.ssh(f"root@{s.name}", "echo", "open;", "sleep", "60") for s in servers]
    for session in sessions:
        session.wait_text("open")
    server.policy(policy())
    start = time.monotonic()
    for session in sessions:
        session.wait_end()
    print(f"     sessions ended after {time.monotonic() - start:.2f} s")
    for session in sessions:
        if "Access revoked" not in session.text():
            raise Failure(f"it did not say why: {session.text()}")

    # Recorders reach the client: it would send the session there.
    tape = world.client("tape", up=False).up(server.tags_key("tag:tape"))
    server.policy(policy(rule(recorder=["tag:tape"], enforceRecorder=True)))

    def action(s):
        rules = s.netmap()["SSHPolicy"]["rules"]
        return rules[0]["action"] if rules else {}
    for s in servers:
        wait_for(f"{s.name} knows the recorder",
                 lambda: any(r.startswith(tape.ip4() + ":") for r in action(s).get("recorders") or []))
        if not action(s).get("onRecordingFailure", {}).get("RejectSessionWithMessage"):
            raise Failure(f"the recorder is not enforced: {action(s)}")
    # Nothing records there, so the session is refused.
    session = alice.ssh("root@new", "whoami")
    if session.wait_end(30) == 0 or "root\n" in session.text():
        raise Failure(f"a session went unrecorded: {session.text()}")
