"""The server's disk is full for a while: changes are refused in words, machines and reads go on, health says it, and
with room again everything is as before. Then a backup made beside the running server is restored."""
import os

from world import Failure, Server, sh, wait_for


def fill(path):
    with open(path, "wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(b"x" * 65536)
        except OSError:
            pass
        try:
            while True:
                ballast.write(b"x")
        except OSError:
            pass


def names(server):
    return sorted(user["name"] for user in server.json("users", "list"))


def run(world):
    disk = world.dir / "server" / "data"
    server = None
    try:
        server = make_server(world, disk)
        scenario(world, server, disk)
        server.stop()
    finally:
        if server and server.proc and server.proc.poll() is None:
            server.kill()
        sh("umount", "-l", disk, check=False)


def make_server(world, disk):
    server = world.the_server = Server(world, start=False)
    disk.mkdir(mode=0o700)
    sh("mount", "-t", "tmpfs", "-o", "size=6m,mode=0700", "none", disk)
    server.start()
    return server


def scenario(world, server, disk):
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_ping(bob.ip4())

    fill(disk / "ballast")
    # Small changes may still find room in pages that are there.
    for n in range(400):
        refused = server.cli("users", "create", f"user{n}-{'x' * 40}", check=False)
        if refused.returncode != 0:
            break
    if refused.returncode == 0 or "database cannot be written" not in refused.stderr:
        raise Failure(f"a change was not refused: {refused.stdout}{refused.stderr}")
    confirmed = names(server)
    told = server.cli("health", check=False)
    if told.returncode == 0 or "disk is full" not in told.stdout + told.stderr:
        raise Failure(f"health does not say it: {told.stdout}{told.stderr}")
    if "disk is full" not in server.log.read_text(errors="replace"):
        raise Failure("the log does not say it")
    bob.stop()
    bob.start()
    bob.wait_running()
    bob.wait_peer("alice")
    alice.wait_ping(bob.ip4())

    os.unlink(disk / "ballast")
    wait_for("the server is well again", lambda: server.cli("health", check=False).returncode == 0, 60)
    server.cli("users", "create", "after")
    if names(server) != sorted([*confirmed, "after"]):
        raise Failure("other users than those confirmed")

    # A backup beside the server, a change after it, and back.
    backup = world.dir / "backup"
    server.cli("backup", backup)
    server.cli("users", "create", "too-late")
    running = server.cli("restore", "--force", backup, check=False)
    if running.returncode == 0 or "another hatsize process" not in running.stderr:
        raise Failure(f"restored under a running server: {running.stderr}")
    server.stop()
    server.cli("restore", "--force", backup)
    server.start()
    if names(server) != sorted([*confirmed, "after"]):
        raise Failure(f"the restore is another state: {names(server)}")
    wait_for("both are back", lambda: len([n for n in server.nodes() if n["online"]]) == 2, 60)
    alice.wait_ping(bob.ip4())
