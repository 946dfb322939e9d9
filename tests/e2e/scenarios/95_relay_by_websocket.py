"""A client that reaches the server's relay by WebSocket only, as those in browsers do, and an ordinary one."""
from world import Failure, Skipped, certificate

KNOB = "TS_DEBUG_DERP_WS_CLIENT"


def run(world):
    if KNOB.encode() not in (world.clients_dirs[-1] / "tailscaled").read_bytes():
        raise Skipped("the newest client was built without WebSocket (scripts/clients)")
    cert, key = world.dir / "cert.pem", world.dir / "key.pem"
    ip = world.next_ip()
    certificate(world.bridge, cert, key, ip, f"IP:{ip}")
    server = world.server(f"tls_cert_path: {cert}\ntls_key_path: {key}\n", url=f"https://{ip}:8080")
    world.client_env = {"SSL_CERT_FILE": str(cert)}
    anna = world.client("anna", "1.90", up=False)
    world.client_env[KNOB] = "1"
    newest = world.clients_dirs[-1].name
    webs = [world.client(name, newest, up=False) for name in ("web", "other")]
    for client in (anna, *webs):
        client.host.block_direct()
        client.up(server.auth_key())
        client.serve_tcp()
    # headscale.md 11 #104
    for a in (anna, *webs):
        for b in (anna, *webs):
            if a is b:
                continue
            a.wait_ping(b.ip4())
            a.check_tcp(b.ip4())
            if a.path_to(b.ip4()) != "relay":
                raise Failure(f"{a.name} to {b.name} is not through the relay")
    for web in webs:
        log = web.log.read_text(errors="replace")
        if "connecting websocket to https://" not in log or "websocket to https" in log.replace("connecting websocket to", ""):
            raise Failure(f"{web.name} did not come by WebSocket")
    # Large things arrive whole.
    payload = world.dir / "payload"
    payload.write_bytes(bytes(range(256)) * 4096 * 8)
    anna.ts("file", "cp", payload, "web:")
    got = world.dir / "got"
    got.mkdir()
    webs[0].ts("file", "get", "-wait", got)
    if (got / "payload").read_bytes() != payload.read_bytes():
        raise Failure("a file was garbled")
