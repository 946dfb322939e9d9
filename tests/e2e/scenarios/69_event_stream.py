"""The event stream: `hatsize events` and plain HTTP hear what machines and people do, over HTTP/1 and HTTP/2, and go on where they were.
"""
import json
import pathlib
import sys
import threading

from world import POLICY_IN_DATABASE, Failure, Host, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).parents[2]))
import dashboard  # noqa: E402

# headscale.md 9.3: names and kinds that its dashboards ask for.
HEADSCALE = {
    "headscale_mapresponse_sent_total": "counter", "headscale_mapresponse_generated_total": "counter",
    "headscale_mapresponse_endpoint_updates_total": "counter", "headscale_mapresponse_ended_total": "counter",
    "headscale_nodestore_operations_total": "counter", "headscale_nodestore_operation_duration_seconds": "histogram",
    "headscale_nodestore_batch_size": "histogram", "headscale_nodestore_batch_duration_seconds": "histogram",
    "headscale_nodestore_snapshot_build_duration_seconds": "histogram",
    "headscale_nodestore_peers_calculation_duration_seconds": "histogram", "headscale_nodestore_nodes": "gauge",
    "headscale_nodestore_queue_depth": "gauge", "http_requests_total": "counter",
    "http_request_duration_seconds": "histogram", "http_requests_inflight": "gauge",
    "headscale_http_duration_seconds": "histogram", "headscale_http_requests_total": "counter",
    "process_cpu_seconds_total": "counter", "process_resident_memory_bytes": "gauge",
}
LABELS = ('headscale_mapresponse_sent_total{status="ok",type="keepalive"}',
          'headscale_mapresponse_generated_total{response_type="full"}', 'headscale_nodestore_operations_total{operation="put"}',
          'headscale_nodestore_batch_size_bucket{le="50"}', 'endpoint="/key"', 'path="/machine/map"')


def check_metrics(server):
    page = server.host.run("curl", "-s", "--unix-socket", server.dir / "data" / "hatsize.sock", "http://local/metrics").stdout
    for name, kind in HEADSCALE.items():
        if f"# TYPE {name} {kind}\n" not in page or page.count(f"# TYPE {name} ") != 1:
            raise Failure(f"{name} is not served as a {kind}")
    for label in LABELS:
        if label not in page:
            raise Failure(f"{label} is not served")
    if "headscale_nodestore_nodes 1\n" not in page:
        raise Failure("the number of nodes is another")
    gone = dashboard.missing(pathlib.Path(__file__).parents[3], page)
    if gone:
        raise Failure(f"the dashboard asks for what is not there: {gone}")


class Follower:
    """`hatsize events` on the server's host, or curl from elsewhere."""

    def __init__(self, host, *argv, log):
        self.host, self.log = host, log
        self.proc = host.spawn(*argv, log=log)

    def text(self):
        return self.log.read_text()

    def waits(self, text, seconds=20):
        wait_for(f"{text!r} is told", lambda: text in self.text(), seconds)

    def stop(self):
        self.host.end(self.proc)


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    key = server.cli("apikeys", "create").stdout.strip()
    laptop = Host(world, "laptop")
    here = Follower(server.host, world.hatsize, "events", "-o", "json-line", "--config", server.config, "--data-dir",
                    server.dir / "data", log=world.dir / "events.here")

    def curl(name, *flags, since=None):
        last = ("-H", f"Last-Event-ID: {since}") if since else ()
        return Follower(laptop, "curl", "-sN", "-H", f"Authorization: Bearer {key}", *flags, *last,
                        f"{server.url}/api/v1/events", log=world.dir / name)

    one, two = curl("events.1", "--http1.1"), curl("events.2", "--http2-prior-knowledge")
    for follower in (here, one, two):
        follower.waits("hello")

    # A machine joins, comes online and goes; people are made.
    alice = world.client("alice")
    node = server.node("alice")["id"]
    for follower in (here, one, two):
        follower.waits('"givenName":"alice"')
    events = [json.loads(line) for line in here.text().splitlines()]
    if not any(e["event"] == "node" and e["data"]["node"]["online"] for e in events):
        raise Failure(f"it is not told that the machine is online: {events}")
    revisions = [int(e["id"].split("-")[0]) for e in events]
    if revisions != sorted(set(revisions)):
        raise Failure(f"revisions do not rise: {revisions}")
    check_metrics(server)
    server.cli("users", "create", "bob")
    for follower in (here, one, two):
        follower.waits('"name":"bob"')

    # Who went comes back to what he missed and no more.
    last = [line[4:] for line in one.text().splitlines() if line.startswith("id: ")][-1]
    one.stop()
    server.cli("users", "create", "carol")
    server.cli("nodes", "delete", "--identifier", node, "--force")
    again = curl("events.3", "--http1.1", since=last)
    again.waits(f'{{"id":"{node}","op":"delete"}}')
    if '"name":"carol"' not in again.text() or '"name":"bob"' in again.text() or "event: hello" in again.text():
        raise Failure(f"it did not go on where it was: {again.text()}")

    # Another life of the server: the command line goes on by itself, told to read everything again.
    server.stop()
    server.start()
    here.waits('"event":"reset"')
    server.cli("users", "create", "dave")
    here.waits('"name":"dave"')

    # A key of less right hears less, and hears no more when it is gone.
    made = json.loads(laptop.run("curl", "-s", "-H", f"Authorization: Bearer {key}", f"{server.url}/api/v1/apikey", "-d",
                                 '{"scopes":["policy_file:read"]}').stdout)["apiKey"]
    few = Follower(laptop, "curl", "-sN", "-H", f"Authorization: Bearer {made}", f"{server.url}/api/v1/events",
                   log=world.dir / "events.few")
    few.waits("hello")
    server.cli("users", "create", "erin")
    server.policy({"acls": []})
    few.waits("event: policy")
    if "erin" in few.text():
        raise Failure("a key hears what it may not read")
    threading.Thread(target=few.proc.wait, daemon=True).start()
    server.cli("apikeys", "delete", "--prefix", made.split("-")[2])
    wait_for("its stream ends", lambda: few.proc.poll() is not None, 40)
    alice.stop()
