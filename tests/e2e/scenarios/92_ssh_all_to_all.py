"""SSH between machines of several people: who gets in where, whose login, and checks that nobody answers."""
import re
import signal

from world import POLICY_IN_DATABASE, Failure, wait_for

ALL = [{"src": ["*"], "dst": ["*"], "ip": ["*"]}]
LOGINS = ("hz-ann", "hz-bea")  # made on the machines, for local parts


def rule(src, dst, *users, **more):
    return {"action": "accept", "src": src.split(), "dst": dst.split(), "users": list(users or ("root",)), **more}


def policy(*ssh, grants=None, **more):
    return {"tagOwners": {"tag:server": ["hz-ann@example.com"]}, "grants": ALL if grants is None else grants,
            **({"ssh": list(ssh)} if ssh else {}), **more}


def add_logins(client):
    """People's own logins, on this machine alone: its /etc is a copy."""
    for number, name in enumerate(LOGINS, 4200):
        with open(client.dir / "etc" / "passwd", "a") as file:
            file.write(f"{name}:x:{number}:{number}::/tmp:/bin/sh\n")


def say(client, target):
    return client.ssh(target, "echo", "i am $(whoami)")


def matrix(what, cases, seconds=60):
    """All at once: (client, target, login or None for a refusal)."""
    sessions = [(say(c, target), who) for c, target, who in cases]
    wrong = []
    for session, who in sessions:
        status = session.wait_end(seconds)
        if (status == 0 and f"i am {who}" in session.text()) != (who is not None) or (not who and "i am" in session.text()):
            wrong.append(f"{session.what}: {status} {session.text()[-300:]}, not {who}")
    if wrong:
        raise Failure(f"{what}:\n" + "\n".join(wrong))


def held(client, target):
    session = say(client, target)
    return session, session.check_id()


def checks(server, ann, ann2, bea):
    """Nobody answers; who was forgotten asks again."""
    check = lambda period: policy({**rule("autogroup:member", "autogroup:self"), "action": "check", "checkPeriod": period})
    server.policy(check("2h"), seen_by=(ann2,))
    waiting, first = held(ann, "root@ann2")
    # The server forgets what is pending: the session delegates again, and is let in by the new id.
    server.kill()
    server.start()
    again = lambda: [i for i in re.findall(r"hatsize ssh approve (\S+)", waiting.text()) if i != first]
    wait_for("the session delegates again", again, 60)  # headscale.md 11 #90
    wait_for("the client is back", lambda: any(c["id"] == again()[-1] for c in server.json("ssh", "list")), 30)
    server.cli("ssh", "approve", again()[-1])
    waiting.wait_text("i am root", 30)
    if waiting.wait_end() != 0:
        raise Failure(f"ssh failed: {waiting.text()}")
    done = server.cli("ssh", "approve", first, check=False)
    if done.returncode == 0:
        raise Failure("the forgotten id was approved")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(policy())
    ann, ann2 = (world.client(name, v, user="hz-ann@example.com", flags=("--ssh",)) for name, v in (("ann", "1.102"), ("ann2", "1.82")))
    bea = world.client("bea", "1.90", user="hz-bea@example.com", flags=("--ssh",))
    box = world.client("box", "1.102", up=False).up(server.tags_key("tag:server"), "--ssh")
    people, all = (ann, ann2, bea), (ann, ann2, bea, box)
    for c in all:
        add_logins(c)
    for c in people:
        for other in all:
            c is other or wait_for(f"{c.name} has {other.name}'s host keys",
                                   lambda: c.wait_peer(other.name).get("sshHostKeys"))
    pairs = [(c, other) for c in people for other in all if c is not other]

    # headscale.md 11 #83
    matrix("no SSH section", [(ann, "root@ann2", None), (bea, "root@box", None), (ann, "root@bea", None)])
    # headscale.md 11 #82
    server.policy(policy(rule("hz-ann@example.com", "autogroup:self"), rule("hz-ann@example.com", "tag:server")),
                  seen_by=(ann, ann2, box))
    matrix("one user to all that is hers", [(ann, "root@ann2", "root"), (ann, "root@box", "root"), (ann2, "root@ann", "root"),
                                            (bea, "root@box", None), (bea, "root@ann", None)])
    server.policy(policy(rule("autogroup:member", "autogroup:self"), rule("autogroup:member", "tag:server")), seen_by=(box, bea))
    # headscale.md 11 #82, #85
    matrix("all users to what is their own and to the servers",
           [(c, f"root@{other.name}", "root" if other is box or c.name[:3] == other.name[:3] else None) for c, other in pairs])
    # headscale.md 11 #84
    server.policy(policy(rule("autogroup:member", "tag:server"), grants=[
        {"src": ["hz-ann@example.com"], "dst": ["tag:server"], "ip": ["*"]},
        {"src": ["hz-bea@example.com"], "dst": ["tag:server"], "ip": ["tcp:80"]}]), seen_by=(ann, ann2, bea))
    wait_for("bea still sees the box", lambda: "box" in bea.peers() and "ann" not in bea.peers())
    matrix("the policy lets ann in", [(ann, "root@box", "root")])
    blocked = say(bea, "root@box")
    # headscale.md 11 #91
    server.policy(policy(rule("autogroup:member", "tag:server", "localpart:*@example.com"),
                         rule("autogroup:member", "autogroup:self", "localpart:*@example.com")), seen_by=all)
    if "i am" in blocked.text():
        raise Failure("port 22 is not allowed, and ssh got through")
    bea.host.end(blocked.proc, signal.SIGKILL)
    matrix("each as oneself", [(ann, "hz-ann@box", "hz-ann"), (bea, "hz-bea@box", "hz-bea"), (ann, "hz-bea@box", None),
                               (bea, "hz-ann@box", None), (ann, "root@box", None), (ann, "hz-ann@ann2", "hz-ann"),
                               (bea, "hz-bea@ann", None)])
    checks(server, ann, ann2, bea)
