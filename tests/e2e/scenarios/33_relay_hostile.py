"""What hostile clients try with a relay, over TLS and plain: nobody else feels it, memory and logs stay bounded."""
import re

from world import Failure, Host, relay_config, wait_for

GROWTH_KIB = 96 * 1024  # of the relay; with sanitizers, which keep freed memory for a while
LINES = 80              # of its log, from information on


def rss_kib(pid):
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read()).group(1))


def lines(text):
    return len(re.findall(r"^\S+ (?:info|warn|error) ", text, re.M))


def attack(world, enemy, url, pid):
    done = enemy.run(world.hatsize.parent / "hatsize-bench", "derp", "--modes", "hostile", "--url", url,
                     "--server-pid", pid, "--limit", 600, check=False, timeout=620)
    print(done.stdout, end="")
    if done.returncode != 0 or done.stdout.count("ok  ") < 9:
        raise Failure(f"{url}: exit {done.returncode}\n{done.stdout}{done.stderr}")


def only_two(relay):
    clients = relay.metric("derp_current_connections")
    if clients != 2:
        raise Failure(f"{clients} clients\n" + relay.host.run("ss", "-tnp", "state", "all", "sport", "=", "443").stdout)
    return True


def run(world):
    env = world.sanitizer_env
    world.sanitizer_env = lambda log: {**env(log), "ASAN_OPTIONS": env(log)["ASAN_OPTIONS"] + ":quarantine_size_mb=16"}
    relay = world.relay("relay1")
    world.server(relay_config(world, (910, [relay])))
    relay.start()
    anna, bert = world.relayed_pair()
    pings = anna.host.spawn("ping", "-n", "-i", "0.1", "-c", "200", bert.ip4(), log=anna.dir / "pings")
    enemy = Host(world, "enemy")

    # Over TLS, beside real clients.
    before, written = rss_kib(relay.proc.pid), lines(relay.text())
    attack(world, enemy, f"https://{relay.host.ip}:443", relay.proc.pid)
    if rss_kib(relay.proc.pid) - before > GROWTH_KIB:
        raise Failure(f"the relay grew from {before} to {rss_kib(relay.proc.pid)} KiB")
    if lines(relay.text()) - written > LINES:
        raise Failure(f"the relay wrote {lines(relay.text()) - written} lines")
    pings.wait(60)
    got = re.search(r"(\d+) packets transmitted, (\d+) received", (anna.dir / "pings").read_text())
    if int(got.group(2)) < int(got.group(1)) - 1:
        raise Failure(f"the two who talked felt it: {got.group(0)}")
    anna.wait_ping(bert.ip4())
    wait_for("only the two are left", lambda: only_two(relay), timeout=120)

    # Plain, with fewer places for those who only sit there than come: 300 before the log-in, 300 in it.
    log = relay.dir / "plain.log"
    plain = relay.host.spawn(
        world.hatsize.with_name("hatsize-derp"), "-a", ":8080", "-c", relay.dir / "key", "-stun=false",
        "-max-handshakes", "200", log=log, env=world.sanitizer_env(relay.dir / "sanitizer"))
    wait_for("the plain relay relays", lambda: " relaying " in log.read_text())
    before = rss_kib(plain.pid)
    attack(world, enemy, f"http://{relay.host.ip}:8080", plain.pid)
    if rss_kib(plain.pid) - before > GROWTH_KIB:
        raise Failure(f"the plain relay grew from {before} to {rss_kib(plain.pid)} KiB")
    metrics = relay.host.run("curl", "-s", "http://127.0.0.1:8080/metrics").stdout
    dropped = sum(int(n) for n in re.findall(r"^hatsize_(?:guests_dropped|derp_logins_closed)_total (\d+)$", metrics, re.M))
    if dropped < 100:
        raise Failure(f"only {dropped} who sat there made room\n{metrics}")
    wait_for("nobody is left", lambda: "\nderp_current_connections 0\n" in relay.host.run(
        "curl", "-s", "http://127.0.0.1:8080/metrics").stdout, timeout=120)
    relay.host.end(plain)
    if lines(log.read_text()) > LINES:
        raise Failure(f"the plain relay wrote {lines(log.read_text())} lines")
