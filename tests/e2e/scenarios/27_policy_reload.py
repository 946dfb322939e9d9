"""A policy in a file: read at the start and on SIGHUP; a bad one leaves the last good one in force."""
import os
import signal

from world import Failure, never, wait_for


def policy(port):
    return '{"acls": [{"action": "accept", "src": ["alice@"], "dst": ["*:%s"]}]}\n' % port


def run(world):
    path = world.dir / "acl.hujson"
    path.write_text(policy(7001))
    server = world.server(f"policy:\n  mode: file\n  path: {path}\n")
    alice = world.client("alice", "1.90")
    bob = world.client("bob", "1.102", user="bob")
    bob.echo("tcp:7001", "tcp:7002")
    alice.wait_peer("bob")
    alice.wait_ask("tcp", bob.ip4(), 7001)
    never("a port the file does not name", lambda: alice.ask("tcp", bob.ip4(), 7002, 1))

    def reload(text):
        path.write_text(text)
        os.kill(server.pid(), signal.SIGHUP)

    reload(policy(7002))
    wait_for("the other port is open", lambda: alice.ask("tcp", bob.ip4(), 7002, 1), 10)
    never("the first port is still open", lambda: alice.ask("tcp", bob.ip4(), 7001, 1))
    reload('{"acls": [')
    wait_for("health says what is wrong", lambda: "policy" in
             (lambda d: d.stdout + d.stderr)(server.cli("health", check=False)).lower(), 10)
    if not alice.ask("tcp", bob.ip4(), 7002):
        raise Failure("the last good policy is not in force")
    done = server.policy(policy(7001), check=False)
    if done.returncode == 0:
        raise Failure("policy set was taken although the policy is a file")
    reload(policy(7001))
    wait_for("the first port is open again", lambda: alice.ask("tcp", bob.ip4(), 7001, 1), 10)
    wait_for("health is well again", lambda: "policy" not in server.cli("health").stdout.lower(), 5)
