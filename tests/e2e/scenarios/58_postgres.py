"""A server that keeps its state in PostgreSQL, and loses it for a while (headscale.md 11 #122).

Machines keep their maps and each other, reads are answered, changes are refused in words and none is half done;
when PostgreSQL is back, changes are taken again, nothing that was confirmed is lost, and a restarted server knows all.
A second server on the same database is refused.
"""
from postgres import Postgres
from world import Failure, wait_for


NEEDS_POSTGRES = True


def health(server):
    return server.cli("health", check=False)


def names(server):
    return sorted(user["name"] for user in server.json("users", "list"))


def run(world):
    with Postgres() as pg:
        scenario(world, pg)
        world.the_server.stop()


def scenario(world, pg):
    server = world.server(pg.config())
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_ping(bob.ip4())
    if pg.number("SELECT count(*) FROM nodes") != 2:
        raise Failure("the nodes are not in PostgreSQL")

    # Another server is kept away from the database.
    second = server.cli("policy", "set", "--bypass-server-and-access-database-directly", "--force", "-f", "/dev/null",
                        check=False, timeout=60)
    if second.returncode == 0 or "another hatsize process" not in second.stderr:
        raise Failure(f"a second one was let in: {second.stdout}{second.stderr}")

    pg.stop(crash=True)
    refused = server.cli("users", "create", "lost", check=False)
    if refused.returncode == 0 or "database" not in refused.stderr:
        raise Failure(f"a change was not refused: {refused.stdout}{refused.stderr}")
    wait_for("health says it", lambda: health(server).returncode != 0)
    if "database" not in health(server).stdout + health(server).stderr:
        raise Failure(f"health does not say why: {health(server).stderr}")
    if names(server) != ["alice"] or len(server.nodes()) != 2:
        raise Failure(f"reads are not answered: {names(server)}")
    again = server.cli("users", "create", "lost", check=False)
    if again.returncode == 0:
        raise Failure("a second change was not refused")

    # A machine that restarts meanwhile gets its map.
    bob.stop()
    bob.start()
    bob.wait_running()
    bob.wait_peer("alice")
    alice.wait_ping(bob.ip4())

    pg.start()
    wait_for("the server is well again", lambda: health(server).returncode == 0, 60)
    server.cli("users", "create", "carol")
    if names(server) != ["alice", "carol"]:
        raise Failure(f"other users than those confirmed: {names(server)}")
    carol = world.client("carol", user="carol")
    alice.wait_peer("carol")
    alice.wait_ping(carol.ip4())

    # An ordinary restart of PostgreSQL between two changes is not noticed by who asks.
    pg.stop()
    pg.start()
    wait_for("a change is taken", lambda: server.cli("users", "create", "dave", check=False).returncode == 0
             or "dave" in names(server), 30)

    # Everything is there for the next server, and goes out and in as one file.
    before = server.tables()
    server.stop()
    server.start()
    wait_for("all are back", lambda: len([n for n in server.nodes() if n["online"]]) == 3, 60)
    if names(server) != ["alice", "carol", "dave"]:
        raise Failure(f"lost over the restart: {names(server)}")
    alice.wait_ping(bob.ip4())
    after = server.tables()
    for table in ("users", "auth_keys", "policies"):
        if before[table] != after[table]:
            raise Failure(f"{table} changed over the restart")
