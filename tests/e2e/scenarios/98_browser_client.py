"""The official client for browsers (tsconnect's WebAssembly, here under Node): control and relay by WebSocket alone."""
import json
import pathlib
import shutil

from world import Failure, Host, Skipped, built, certificate, sh, wait_for


def run(world):
    program = built("wasm", "wasm")
    if not shutil.which("node") or sh("node", "--experimental-websocket", "-e", "WebSocket", check=False).returncode != 0:
        raise Skipped("no Node with WebSocket on this machine")
    cert, key = world.dir / "cert.pem", world.dir / "key.pem"
    ip = world.next_ip()
    certificate(world.bridge, cert, key, ip, f"IP:{ip}")
    # A browser's client calls https:// at 443 only, and the relay likewise.
    server = world.server(f"listen_addr: 0.0.0.0:443\ntls_cert_path: {cert}\ntls_key_path: {key}\n", url=f"https://{ip}")
    world.client_env = {"SSL_CERT_FILE": str(cert)}
    anna = world.client("anna", "1.102")
    anna.host.spawn("python3", "-m", "http.server", "8000", "--bind", "0.0.0.0", "--directory", world.dir / "page",
                    log=anna.dir / "http.log")
    (world.dir / "page").mkdir()
    (world.dir / "page" / "hello").write_text("hello from anna\n")
    tab = Host(world, "tab")
    log = world.dir / "tab.log"
    tab.spawn("bash", "-c", 'exec -a page node "$@"', "page", "--experimental-websocket", pathlib.Path(__file__).parents[1] / "browser.js",
              program.parent / "wasm_exec.js", program, server.url, server.auth_key("alice", "--ephemeral"), "tab",
              f"http://{anna.ip4()}:8000/hello", log=log, env={"NODE_EXTRA_CA_CERTS": str(cert), "NODE_NO_WARNINGS": "1"})

    def events(kind):
        found = []
        for line in log.read_text(errors="replace").splitlines():
            if line.startswith('{"event":'):
                event = json.loads(line)
                if event["event"] == kind:
                    found.append(event.get("data"))
        return found

    try:
        # headscale.md 11 #118
        wait_for("the browser's client runs", lambda: "Running" in events("state"), 90)
        wait_for("it has its map", lambda: any("anna." in name for m in events("netmap") for name in m["peers"]), 30)
        wait_for("it has a page of anna", lambda: events("fetched"), 90)
        if events("fetched")[0] != {"status": 200, "text": "hello from anna\n"}:
            raise Failure(f"the page: {events('fetched')}")
        anna.wait_peer("tab")
        if not anna.path_to(server.node("tab")["ipAddresses"][0]) == "relay":
            raise Failure("a browser's client is not reached through the relay")
    except Failure as err:
        raise Failure(f"{err}\n--- tab ---\n" + log.read_text(errors="replace")[-4000:]) from None
