"""Every kind of name in a rule, on both ends: who sees whom, and who reaches whom by TCP and by ping, in both families."""
from reach import Crowd
from world import POLICY_IN_DATABASE, Failure

FIRST = 7100  # a port for each mix of names


def rules(*rows, **more):
    """src > dst, each row one rule."""
    return {"groups": {"group:a": ["alice@"], "group:b": ["bob@"], "group:ab": ["alice@", "bob@"]},
            "tagOwners": {"tag:t": ["alice@"]},
            "acls": [{"action": "accept", "src": src.split(), "dst": dst.split()}
                     for src, dst in (row.split(" > ") for row in rows)], **more}


def mixes(server, crowd, hosts):
    """Each name of one machine to each name of the other, on a port of its own; nothing the other way round."""
    names = {"a1": ["group:a", "alice@"], "b": ["bob@", "group:b"], "t": ["tag:t"]}
    for name, (ip4, ip6) in crowd.ips.items():
        names.setdefault(name, []).extend([name, ip4])  # its host alias, its address
        if name not in ("a1", "b", "t"):
            del names[name]
    pairs = [(s, d, src, dst) for s, d in (("a1", "b"), ("a1", "t"), ("t", "b"))
             for src in names[s] for dst in names[d]]
    ports = {pair: FIRST + n for n, pair in enumerate(pairs)}
    server.policy(rules(*(f"{src} > {dst}:{ports[s, d, src, dst]}" for s, d, src, dst in pairs), hosts=hosts))
    clients = {c.name: c for c in crowd.clients}
    crowd.becomes("those who are named see each other", crowd.seen, a1="b t", a2="b t", b="a1 a2 t", t="a1 a2 b")
    for s, d in (("a1", "b"), ("a1", "t"), ("t", "b")):
        wanted = [(p, port) for p, port in ports.items() if p[:2] == (s, d)]
        # An address names that address; who and what is named by more than it has both.
        got = crowd.tries(clients[s], [("tcp", crowd.ips[d][0], port) for _, port in wanted], 5)
        back = crowd.tries(clients[d], [("tcp", crowd.ips[s][0], port) for _, port in wanted])
        beside = crowd.tries(clients[s], [("tcp", crowd.ips[d][0], port) for p, port in ports.items() if p[:2] != (s, d)])
        for (p, port), there, again in zip(wanted, got, back):
            if not there or again:  # headscale.md 11 #66
                raise Failure(f"{p[2]} > {p[3]}: {s} to {d} {there}, {d} to {s} {again}")
        if any(beside):
            raise Failure(f"{s} reaches {d} on a port of others")
    return len(pairs)


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(rules())
    a1, a2 = world.client("a1", "1.82"), world.client("a2", "1.102")
    b = world.client("b", "1.90", user="bob")
    t = world.client("t", "1.102", up=False).up(server.tags_key("tag:t"))
    crowd = Crowd(a1, a2, b, t, ports=(80, 81, *range(FIRST, FIRST + 44)))
    ip = crowd.ips
    hosts = {f"{name}{'46'[n]}": pair[n] for name, pair in ip.items() for n in (0, 1)}
    hosts |= {name: pair[0] for name, pair in ip.items()}
    hosts |= {"all4": "100.64.0.0/10", "all6": "fd7a:115c:a1e0::/48"}

    def visible(what, *rows, **want):
        server.policy(rules(*rows, hosts=hosts))
        crowd.becomes(f"{what}: who sees whom", crowd.seen, **want)

    def web(what, **want):
        crowd.becomes(f"{what}: who has a web page of whom", crowd.reached, **want)

    # headscale.md 11 #61
    visible("nobody is named")
    visible("user to user", "alice@ > bob@:*", a1="b", a2="b", b="a1 a2")
    visible("user to oneself", "alice@ > alice@:*", a1="a2", a2="a1")
    visible("user to tag", "bob@ > tag:t:*", b="t", t="b")
    visible("tag to user", "tag:t > alice@:*", a1="t", a2="t", t="a1 a2")
    visible("tag to tag", "tag:t > tag:t:*")
    visible("group to group", "group:a > group:b:*", a1="b", a2="b", b="a1 a2")
    visible("group to tag", "group:b > tag:t:80", b="t", t="b")
    visible("two rules of a group and a user", "group:ab > tag:t:80", "tag:t > bob@:22",
            a1="t", a2="t", b="t", t="a1 a2 b")
    visible("all", "* > *:*", a1="a2 b t", a2="a1 b t", b="a1 a2 t", t="a1 a2 b")

    # headscale.md 11 #62
    visible("one port of a user", "alice@ > bob@:80", a1="b", a2="b", b="a1 a2")
    web("one port of a user", a1="b", a2="b")
    # headscale.md 11 #63
    visible("another port", "alice@ > bob@:81", a1="b", a2="b", b="a1 a2")
    web("another port")
    crowd.becomes("pings go where a port is allowed", lambda: crowd.reached(kind="ping"), a1="b", a2="b")
    # headscale.md 11 #64
    visible("all ports of a user", "alice@ > bob@:*", a1="b", a2="b", b="a1 a2")
    web("all ports of a user", a1="b", a2="b")
    visible("one user to all", "bob@ > *:*", a1="b", a2="b", b="a1 a2 t", t="b")
    web("one user to all", b="a1 a2 t")
    # headscale.md 11 #65
    visible("hosts, one address each", "a14 > b4:80", "a16 > b6:80", a1="b", b="a1")
    web("hosts, one address each", a1="b")
    visible("hosts of a whole range", "alice@ > all4:80 all6:80", a1="a2 b t", a2="a1 b t", b="a1 a2", t="a1 a2")
    web("hosts of a whole range", a1="a2 b t", a2="a1 b t")
    visible("hosts of a whole range as sources", "all4 all6 > t4:80 t6:80", a1="t", a2="t", b="t", t="a1 a2 b")
    web("hosts of a whole range as sources", a1="t", a2="t", b="t")
    # headscale.md 11 #68
    visible("members", "tag:t > autogroup:member:80", a1="t", a2="t", b="t", t="a1 a2 b")
    web("members", t="a1 a2 b")
    visible("what is tagged", "alice@ > autogroup:tagged:80", a1="t", a2="t", t="a1 a2")
    web("what is tagged", a1="t", a2="t")
    visible("members among themselves", "autogroup:member > autogroup:member:*", a1="a2 b", a2="a1 b", b="a1 a2")
    # headscale.md 11 #69
    visible("one's own, and another rule", "autogroup:member > autogroup:self:*", "bob@ > tag:t:80",
            a1="a2", a2="a1", b="t", t="b")
    web("one's own, and another rule", a1="a2", a2="a1", b="t")
    print(f"     {mixes(server, crowd, hosts)} mixes of names")
