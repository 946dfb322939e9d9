"""SSH check mode: held until a person approves, for the rule's time; on three releases."""
import time

from world import POLICY_IN_DATABASE, Failure, wait_for

VERSIONS = (("old", "1.82"), ("middle", "1.90"), ("new", "1.102"))


def policy(period, **members):
    return {
        "tagOwners": {"tag:server": ["alice@"], "tag:tape": ["alice@"]},
        "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
        "ssh": [{"action": "check", "checkPeriod": period, "src": ["alice@"], "dst": ["tag:server"],
                 "users": ["root", "autogroup:nonroot"], **members}],
    }


def held(client, target):
    """A session that waits for approval, and the id to approve."""
    session = client.ssh(target, "echo", "i am $(whoami)")
    return session, session.check_id()


def let_in(session):
    session.wait_text("i am root", 10)
    if session.wait_end() != 0:
        raise Failure(f"ssh failed: {session.text()}")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy("2h"))
    servers = [world.client(name, version, up=False).up(server.tags_key("tag:server"), "--ssh")
               for name, version in VERSIONS]
    alice = world.client("alice", "1.102")
    for s in servers:
        wait_for(f"alice has {s.name}'s host keys", lambda: alice.wait_peer(s.name).get("sshHostKeys"))
        target = f"root@{s.name}"
        session, check = held(alice, target)
        if f"alice on alice asks to log in to {s.name} as root" not in session.text():
            raise Failure(f"it does not say who asks for what: {session.text()}")
        time.sleep(0.5)
        if session.proc.poll() is not None:
            raise Failure(f"it did not wait: {session.text()}")
        waiting = [c for c in server.json("ssh", "list") if c["state"] == "waiting"]
        if [(c["id"], c["destination"]["name"], c["localUser"]) for c in waiting] != [(check, s.name, "root")]:
            raise Failure(f"ssh list: {waiting}")
        # A second session of the same log-in shares the check; both are let in at once.
        second, same = held(alice, target)
        if same != check:
            raise Failure(f"two checks for one log-in: {check} {same}")
        server.cli("ssh", "approve", check)  # headscale.md 11 #86
        let_in(session)
        let_in(second)
        # For the rule's time there is no more asking, for this log-in. headscale.md 11 #88, #89
        again = alice.ssh(target, "echo", "i am $(whoami)")
        let_in(again)
        if "hatsize ssh approve" in again.text():
            raise Failure("it asked again within the period")
        other, other_check = held(alice, f"daemon@{s.name}")
        server.cli("ssh", "reject", other_check)
        other.wait_text("rejected")  # headscale.md 11 #87
        if other.wait_end() == 0:
            raise Failure("a rejected session ended well")
        # Taken back, it asks again.
        server.cli("ssh", "reject", check)
        session, anew = held(alice, target)
        if anew == check:
            raise Failure("a check came back from the dead")
        server.cli("ssh", "approve", anew)
        let_in(session)

    # "always" asks each session, and approves that one only.
    server.policy(policy("always"))
    time.sleep(0.5)
    one, check_one = held(alice, "root@new")
    two, check_two = held(alice, "root@new")
    server.cli("ssh", "approve", check_one)
    let_in(one)
    if two.proc.poll() is not None:
        raise Failure(f"an approval let another session in: {two.text()}")
    server.cli("ssh", "approve", check_two)
    let_in(two)

    # The rule goes: who waits is told so. A new key of the source: its approval is gone.
    waits, _ = held(alice, "root@middle")
    server.policy({**policy("2h"), "ssh": []})
    if waits.wait_end() == 0:
        raise Failure("it was let in without a rule")
    server.policy(policy("2h"), seen_by=servers)
    session, check = held(alice, "root@new")
    server.cli("ssh", "approve", check)
    let_in(session)
    alice.log_out()
    alice.up(server.auth_key())
    wait_for("alice is back", lambda: alice.peer("new").get("sshHostKeys"))
    session, check = held(alice, "root@new")
    server.cli("auth", "approve", "--auth-id", check)
    let_in(session)

    # The approved session is recorded, or rather not: nothing listens at the recorder.
    world.client("tape", up=False).up(server.tags_key("tag:tape"))
    server.policy(policy("always", recorder=["tag:tape"], enforceRecorder=True), seen_by=servers)
    session, check = held(alice, "root@new")
    server.cli("ssh", "approve", check)
    session.wait_text("must be recorded")
    if session.wait_end() == 0 or "i am root" in session.text():
        raise Failure(f"a session went unrecorded: {session.text()}")

    done = server.cli("ssh", "approve", "sshcheck-000000000000000000000000", check=False)
    if done.returncode == 0 or "no SSH check" not in done.stderr:
        raise Failure(f"an unknown id: {done.stdout}{done.stderr}")
    # One that is held while the server stops does not hold it up.
    held(alice, "root@old")
