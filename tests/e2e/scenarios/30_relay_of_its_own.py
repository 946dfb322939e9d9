"""A stand-alone relay that admits whom the server knows; a stranger's client is barred; SIGHUP drops nobody."""
import signal

from world import Failure, Server, relay_config, wait_for

# What a browser does: the first message has the relay's key.
WEBSOCKET = """import base64,os,socket,ssl,sys
c=ssl.create_default_context();c.check_hostname=False;c.verify_mode=ssl.CERT_NONE
s=c.wrap_socket(socket.create_connection((sys.argv[1],443),timeout=10))
key=base64.b64encode(os.urandom(16)).decode()
s.sendall(("GET /derp HTTP/1.1\\r\\nHost: "+sys.argv[1]+"\\r\\nConnection: Upgrade\\r\\nUpgrade: websocket\\r\\n"
  "Sec-WebSocket-Version: 13\\r\\nSec-WebSocket-Protocol: derp\\r\\nSec-WebSocket-Key: "+key+"\\r\\n\\r\\n").encode())
d=b""
while b"\\r\\n\\r\\n" not in d or len(d.split(b"\\r\\n\\r\\n",1)[1])<47:
    more=s.recv(4096)
    if not more: break
    d+=more
head,rest=d.split(b"\\r\\n\\r\\n",1)
print(head.split(b"\\r\\n")[0].decode(), rest[:15].hex())
"""


def run(world):
    relay = world.relay("relay1")
    server = world.server(relay_config(world, (910, [relay])))
    relay.start("-verify-client-url", f"{server.url}/verify", "-verify-client-url-fail-open=false")
    a, b = world.relayed_pair()
    b.check_tcp(a.ip4())
    if "nodekey" in relay.text():
        raise Failure("the relay's log names keys")

    # Reading certificates again: the same connections carry on.
    accepts = relay.metric("derp_accepts")
    relay.proc.send_signal(signal.SIGHUP)
    wait_for("the relay has read its certificate again",
             lambda: "certificate and rate limits read again" in relay.text())
    a.check_tcp(b.ip4())
    if relay.metric("derp_accepts") != accepts:
        raise Failure("clients had to connect again after SIGHUP")
    if relay.metric("derp_current_home_connections") < 2:
        raise Failure("the clients do not call the relay their home")

    # What a browser client and a captive portal check see; strangers see no numbers.
    done = a.host.run("python3", "-c", WEBSOCKET, relay.host.ip)
    if done.stdout.strip() != "HTTP/1.1 101 Switching Protocols 822d0100000028" + b"DERP\xf0\x9f\x94\x91".hex():
        raise Failure(f"WebSocket: {done.stdout}")
    url = f"http://{relay.host.ip}/generate_204"
    done = a.host.run("curl", "-si", "-H", "X-Tailscale-Challenge: ts_x.1", url)
    if " 204 " not in done.stdout or "response ts_x.1" not in done.stdout:
        raise Failure(f"{url}: {done.stdout}")
    for path in ("metrics", "debug/", "debug/varz"):
        done = a.host.run("curl", "-sk", "-o", "/dev/null", "-w", "%{http_code}", f"https://{relay.host.ip}/{path}")
        if done.stdout != "403":
            raise Failure(f"/{path} says {done.stdout} to a stranger")

    # A client of somebody else's server, whose relay map names this relay.
    other = Server(world, relay_config(world, (910, [relay])), name="other")
    eve = world.client("eve", up=False)
    key = other.auth_key("eve")
    eve.ts("up", f"--login-server={other.url}", "--hostname=eve", f"--auth-key={key}", "--timeout=5s", check=False)
    wait_for("the relay refuses eve", lambda: "a relay client was refused" in relay.text())
    wait_for("refusals are counted", lambda: relay.metric("hatsize_derp_refused_total") >= 1)
    if relay.metric("derp_current_connections") != 2:
        raise Failure("somebody else than anna and bert is connected")
    other.stop()

    # The server is away: those who are in stay in.
    server.stop()
    a.check_tcp(b.ip4())
    server.start()
