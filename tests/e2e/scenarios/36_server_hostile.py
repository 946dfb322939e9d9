"""What hostile clients try with the relay inside the server, over TLS and plain; its limits. Real clients beside them feel nothing."""
import re

from world import Failure, Host, wait_for

GROWTH_KIB = 128 * 1024  # of the server; with sanitizers, which keep freed memory for a while
LINES = 120              # of its log, from information on

# Comes a hundred times at once; says how many of these are still there after a moment.
CROWD = """import socket,sys,time
crowd=[socket.create_connection((sys.argv[1],8080)) for _ in range(100)]
time.sleep(1)
there=0
for s in crowd:
    s.setblocking(False)
    try: there+=len(s.recv(1))
    except BlockingIOError: there+=1
    except OSError: pass
print(there)
"""

# Eighty machines that nobody has, by the server's socket.
MACHINES = """import http.client,json,socket,sys
local=http.client.HTTPConnection("local")
local.sock=socket.socket(socket.AF_UNIX)
local.sock.connect(sys.argv[1])
def ask(path, **body):
    local.request("POST", "/api/v1/"+path, body=json.dumps(body))
    answer=local.getresponse()
    text=answer.read()
    if answer.status!=200: sys.exit(f"{path}: {answer.status} {text}")
ask("user", name="crowd")
for i in range(80):
    key=f"hskey-authreq-{i:024x}"
    ask("debug/node", user="crowd", key=key, name=f"m{i}", routes=[])
    ask("auth/register", user="crowd", authId=key)
"""

RUSH = """import socket,sys
for _ in range(100):
    socket.create_connection((sys.argv[1],8080)).close()
"""


def config(*limits):
    words = "".join(f"    {limit}\n" for limit in limits)
    return f"metrics_listen_addr: 127.0.0.1:9090\nderp:\n  server:\n    verify_clients: false\n{words}"


def lines(text):
    return len(re.findall(r"^\S+ (?:info|warn|error) ", text, re.M))


def metric(server, name):
    text = server.host.run("curl", "-s", "http://127.0.0.1:9090/metrics").stdout
    found = re.search(rf"^{re.escape(name)} (-?\d+)$", text, re.M)
    return int(found.group(1)) if found else 0


def reconfigure(server, *limits):
    text = server.config.read_text()
    server.stop()
    server.config.write_text(text[:text.index("metrics_listen_addr")] + config(*limits))
    server.start()


def bench(world, host, *words, timeout=220):
    done = host.run(world.hatsize.parent / "hatsize-bench", "derp", *words, check=False, timeout=timeout)
    print(done.stdout, end="")
    if done.returncode != 0:
        raise Failure(f"exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def attack(world, enemy, server, url):
    before, written = server.rss_kib(), lines(server.log.read_text(errors="replace"))
    said = bench(world, enemy, "--modes", "hostile", "--url", url, "--server-pid", server.pid(), "--limit", 600, timeout=620)
    if said.count("ok  ") < 9:
        raise Failure(f"{url}:\n{said}")
    if server.rss_kib() - before > GROWTH_KIB:
        raise Failure(f"the server grew from {before} to {server.rss_kib()} KiB")
    grown = lines(server.log.read_text(errors="replace")) - written
    if grown > LINES:
        raise Failure(f"the server wrote {grown} lines")


def run(world):
    env = world.sanitizer_env
    world.sanitizer_env = lambda log: {**env(log), "ASAN_OPTIONS": env(log)["ASAN_OPTIONS"] + ":quarantine_size_mb=16"}
    server = world.server(config())
    anna, bert = world.relayed_pair()
    enemy = Host(world, "enemy")

    # Over TLS, on the port that control has too.
    pings = anna.host.spawn("ping", "-n", "-i", "0.1", "-c", "200", bert.ip4(), log=anna.dir / "pings")
    attack(world, enemy, server, f"https://{server.host.ip}:8080")
    pings.wait(60)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", (anna.dir / "pings").read_text())
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"the two who talked felt it: {got.group(0)}")
    anna.wait_ping(bert.ip4())
    wait_for("only the two are left", lambda: metric(server, "hatsize_derp_clients") == 2, timeout=120)
    cindy = world.client("cindy", up=False)
    cindy.host.block_direct()
    cindy.up(server.auth_key())
    cindy.wait_ping(anna.ip4())

    # Plain, with fewer places for those who only sit there than come: 300 before the log-in, 300 in it.
    reconfigure(server, "max_handshakes: 200")
    anna.wait_ping(bert.ip4(), timeout=90)
    attack(world, enemy, server, f"http://{server.host.ip}:8080")
    dropped = metric(server, "hatsize_guests_dropped_total") + metric(server, "hatsize_derp_logins_closed_total")
    if dropped < 100:
        raise Failure(f"only {dropped} who sat there made room")
    anna.wait_ping(bert.ip4())

    # Two places for each machine that is known, so that these do not push each other out when all come back.
    reconfigure(server, "max_handshakes: 20")
    there = int(enemy.run("python3", "-c", CROWD, server.host.ip).stdout)
    if there > 25:
        raise Failure(f"{there} connections that are nothing yet are open")
    server.host.run("python3", "-c", MACHINES, server.dir / "data" / "hatsize.sock")
    server.stop()
    server.start()
    there = int(enemy.run("python3", "-c", CROWD, server.host.ip).stdout)
    if there != 100:
        raise Failure(f"only {there} of 100 are there, as if they were strangers")

    # How many connections one address may have on all loops together, how much all may send, how fast they may come.
    reconfigure(server, "max_connections_per_address: 25", "accepts_per_second: 1", "accept_burst: 60",
                "total_bytes_per_second: 300000", "total_burst_bytes: 100000")
    anna.wait_ping(bert.ip4(), timeout=90)
    there = int(enemy.run("python3", "-c", CROWD, server.host.ip).stdout)
    if there != 25 or metric(server, "hatsize_streams_refused_total") < 75:
        raise Failure(f"{there} connections of one address are open")
    bench(world, enemy, "--modes", "load", "--url", f"http://{server.host.ip}:8080", "--pairs", "2", "--sizes", "1280",
          "--seconds", "3", "--server-pid", server.pid())
    if metric(server, "hatsize_derp_limited_total_rate_total") == 0:
        raise Failure("nobody was slowed")
    enemy.run("python3", "-c", RUSH, server.host.ip)
    if metric(server, "hatsize_guests_refused_total") == 0:
        raise Failure("nobody came too fast")
    anna.wait_ping(bert.ip4())
