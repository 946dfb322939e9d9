"""Routers that do not answer, are cut off, or all gone: headscale.md 11 #94, #95."""
import signal

from world import Failure, Host, wait_for

LAN = "10.88.0"
ROUTE = f"{LAN}.0/24"

def run(world):
    server = world.server("node:\n  routes:\n    ha:\n      probe_interval: 4s\n      probe_timeout: 3s\n")
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.echo("tcp:7777")
    alice = world.client("alice", flags=("--accept-routes",))
    routers = [world.router(name, (lan, LAN)).up(server.auth_key(), f"--advertise-routes={ROUTE}") for name in ("one", "two")]
    one, two = routers
    for r in routers:
        wait_for("the route is available", lambda: ROUTE in server.node(r.name)["availableRoutes"])
        server.cli("nodes", "approve-routes", "--identifier", server.node(r.name)["id"], "--routes", ROUTE)

    def serving():
        return [r.name for r in routers if ROUTE in server.node(r.name)["subnetRoutes"]]

    def said(what, node):
        return f"{what} node={server.node(node.name)['id']}\n"

    def count(line):
        return server.log.read_text(errors="replace").count(line)

    silent = "a router is connected and does not answer; others serve its routes"
    wait_for("one serves", lambda: serving() == ["one"])
    alice.check_tcp(inside.ip)

    # Connected, and stopped: another serves its routes, and goes on when it runs again (headscale.md 11 #95).
    had = count(said(silent, one)), count(said("a router answers again", one))
    one.proc.send_signal(signal.SIGSTOP)
    try:
        wait_for("two serves", lambda: serving() == ["two"], 60)
        if count(said(silent, one)) != had[0] + 1:
            raise Failure("another serves, but not because one was asked")
        alice.check_tcp(inside.ip)
        if not server.node("one")["online"]:
            raise Failure("one was not connected any more: that shows nothing")
    finally:
        one.proc.send_signal(signal.SIGCONT)
    wait_for("one answers again", lambda: count(said("a router answers again", one)) > had[1]
             or not server.node("one")["online"], 60)
    if serving() != ["two"]:
        raise Failure(f"the route flapped back: {serving()}")

    # Cables pulled, of both: the route never goes to one that is cut off, and the first one back serves
    # (headscale.md 11 #94).
    def cable(r, how):
        r.host.run("ip", "link", "set", "eth0", how)

    had = count(said(silent, one))
    cable(one, "down")
    wait_for("one's silence is noticed", lambda: count(said(silent, one)) > had or not server.node("one")["online"], 60)
    had = count(said(silent, two))
    cable(two, "down")
    seen = set()

    def two_is_missed():
        seen.update(serving())
        return count(said(silent, two)) > had or not server.node("two")["online"]

    # With nobody else to ask nobody is asked: then its silence is not noticed, and nothing happens for a while.
    try:
        wait_for("two's silence is noticed", two_is_missed, 12)
    except Failure:
        pass
    if seen - {"two"}:
        raise Failure(f"the route went to one that is cut off: {seen}")
    cable(one, "up")
    wait_for("one serves", lambda: serving() == ["one"], 90)
    alice.check_tcp(inside.ip, timeout=60)
    cable(two, "up")
    two.wait_running()
    wait_for("two is there again", lambda: two.ping(server.host.ip))
    if serving() != ["one"]:
        raise Failure(f"the route flapped back: {serving()}")

    # Both gone: nobody serves; the first one back does, and the other does not take it away.
    for r in routers:
        r.stop()
    wait_for("nobody serves", lambda: serving() == [], 60)
    two.start()
    two.wait_running()
    wait_for("two serves", lambda: serving() == ["two"])
    alice.check_tcp(inside.ip, timeout=60)
    one.start()
    one.wait_running()
    wait_for("one is online", lambda: server.node("one")["online"])
    if serving() != ["two"]:
        raise Failure(f"the route flapped back: {serving()}")
