"""The metrics listener: figures for whoever reaches it, debug pages for the server's own machine, neither on the main port."""
import json

from world import Failure, Host


def status(host, url, *headers):
    flags = [word for header in headers for word in ("-H", header)]
    return host.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", *flags, url,
                    check=False).stdout


def expect(got, want, what):
    if got != want:
        raise Failure(f"{what}: {got}, not {want}")


def run(world):
    server = world.server("metrics_listen_addr: 0.0.0.0:9090\n")
    near, far = server.host, Host(world, "far")
    alice, bob = world.client("alice"), world.client("bob")
    alice.wait_ping(bob.ip4())

    url = f"http://{near.ip}:9090"
    expect(status(far, f"{url}/metrics"), "200", "/metrics for another machine")
    for path in ("debug", "debug/", "debug/netmap", "debug/varz", "debug/overview", "debug/config", "debug/nothing"):
        expect(status(far, f"{url}/{path}"), "403", f"/{path} for another machine")
        # By its own address it is as far as any other.
        expect(status(near, f"{url}/{path}"), "403", f"/{path} by a public address")
        want = "404" if path == "debug/nothing" else "200"
        expect(status(near, f"http://127.0.0.1:9090/{path}"), want, f"/{path} for this machine")
        expect(status(near, f"http://127.0.0.1:9090/{path}", "X-Forwarded-For: 127.0.0.1"), "403", f"/{path} by a proxy")
    for path in ("metrics", "debug/", "debug/netmap"):
        expect(status(far, f"{server.url}/{path}"), "404", f"/{path} on the main port")

    text = far.run("curl", "-s", f"{url}/metrics").stdout
    for line in ("hatsize_map_streams 2\n", "hatsize_netmap_streams_behind 0\n", "hatsize_netmap_messages_total{kind="):
        if line not in text:
            raise Failure(f"/metrics lacks {line!r}:\n{text}")
    for name in ("default", "alice", "bob"):
        if name in text:
            raise Failure(f"/metrics names {name}")
    rows = [line.split() for line in near.run("curl", "-s", "http://127.0.0.1:9090/debug/netmap").stdout.splitlines()]
    streams = sum(int(row[2]) for row in rows if row and row[0] == "default")
    expect(streams, 2, "streams on /debug/netmap")
    page = lambda name: near.run("curl", "-s", f"http://127.0.0.1:9090/debug/{name}").stdout
    overview = json.loads(page("overview"))
    expect(overview["nodes"], {"total": 2, "online": 2, "expired": 0, "ephemeral": 0}, "nodes on /debug/overview")
    expect((overview["users"], overview["total_users"]), ({"alice": 2}, 1), "users on /debug/overview")
    expect(sorted(node["given_name"] for node in json.loads(page("nodestore")).values()), ["alice", "bob"], "/debug/nodestore")
    expect(json.loads(page("batcher"))["total_nodes"], 2, "/debug/batcher")
    expect(json.loads(page("routes")), {"available_routes": {}, "primary_routes": {}}, "/debug/routes")
    if "999" not in json.loads(page("derp"))["regions"] or "metrics_listen_addr" not in page("config"):
        raise Failure("/debug/derp or /debug/config is empty")
    if "metrics=0.0.0.0:9090" not in server.log.read_text():
        raise Failure("the log does not say where metrics are")
    socket = server.dir / "data" / "hatsize.sock"
    if "hatsize_map_streams 2\n" not in near.run("curl", "-s", "--unix-socket", socket, "http://x/metrics").stdout:
        raise Failure("/metrics on the Unix socket")

    # Empty: nothing listens.
    server.config.write_text(server.config.read_text().replace("0.0.0.0:9090", '""'))
    server.stop()
    server.start()
    expect(status(near, "http://127.0.0.1:9090/metrics"), "000", "/metrics when it is off")
    alice.wait_ping(bob.ip4())
