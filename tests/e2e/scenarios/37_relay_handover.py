"""Two processes on the same sockets: the old one sends its clients to the new one, nobody who comes is ever refused, and who has moved reaches who has not."""
import pathlib
import signal
import time

from world import Failure, Host, Visits, relay_config, wait_for

# Holds the sockets, as systemd does, and starts a relay on them at the beginning and at each SIGUSR1.
SUPERVISOR = """import os,signal,socket,sys
os.environ["LISTEN_FDNAMES"]="main:main:stun"
fds=[]
for kind,port in ((socket.SOCK_STREAM,443),(socket.SOCK_STREAM,443),(socket.SOCK_DGRAM,3478)):
    s=socket.socket(socket.AF_INET6,kind)
    s.setsockopt(socket.IPPROTO_IPV6,socket.IPV6_V6ONLY,0)
    s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEPORT,1)
    s.bind(("::",port))
    if kind==socket.SOCK_STREAM: s.listen(1024)
    fds.append(os.dup2(s.fileno(),100+len(fds)))
pids=[]
def start(*_):
    pid=os.fork()
    if pid:
        pids.append(pid)
        open(sys.argv[1],"a").write(f"{pid}\\n")
        return
    for i,fd in enumerate(fds): os.dup2(fd,3+i)
    os.environ.update(LISTEN_FDS=str(len(fds)),LISTEN_PID=str(os.getpid()))
    os.closerange(6,200)
    for s in signal.SIGUSR1,signal.SIGTERM: signal.signal(s,signal.SIG_DFL)
    more=sys.argv[1]+".flags"
    os.execv(sys.argv[2],sys.argv[2:]+(open(more).read().split() if os.path.exists(more) else []))
signal.signal(signal.SIGUSR1,start)
signal.signal(signal.SIGCHLD,signal.SIG_IGN)
def end(*_):
    for pid in pids:
        try: os.kill(pid,signal.SIGKILL)
        except OSError: pass
    sys.exit(0)
signal.signal(signal.SIGTERM,end)
start()
while True: signal.pause()
"""

def pids(relay):
    """Of the processes that are there, the oldest first."""
    return [pid for pid in (relay.dir / "pids").read_text().split() if pathlib.Path(f"/proc/{pid}").exists()]


def run(world):
    relay = world.relay("relay1")
    world.server(relay_config(world, (910, [relay])))
    env = world.sanitizer_env(relay.dir / "sanitizer")
    before = relay.text().count(" relaying ")
    supervisor = relay.host.spawn(
        "python3", "-c", SUPERVISOR, relay.dir / "pids", world.hatsize.with_name("hatsize-derp"), "-c", relay.dir / "key", "-certmode", "manual",
        "-certdir", relay.dir / "certs", "-hostname", relay.host.ip, "-http-port", "-1", "-drain-time", "3s", log=relay.log, env=env)
    relay.proc = supervisor
    wait_for("the first process relays", lambda: relay.text().count(" relaying ") == before + 1)
    anna, bert = world.relayed_pair()
    first = pids(relay)
    visitor = Host(world, "visitor")
    if len(first) != 1:
        raise Failure(f"{len(first)} relays")

    # A third of the visits meets the first process, a third both, a third the second.
    visits = Visits(visitor, relay.host.ip, 12)
    stun = relay.host.run("ss", "-lnupH", "sport", "=", "3478").stdout.count("hatsize-derp")
    if stun < 1:
        raise Failure("nobody answers STUN")
    time.sleep(2)
    supervisor.send_signal(signal.SIGUSR1)
    wait_for("the second process relays", lambda: relay.text().count(" relaying ") == before + 2)
    if len(pids(relay)) != 2:
        raise Failure("the first process has ended by itself")
    relay.host.run("kill", first[0])
    wait_for("the first process has ended", lambda: first[0] not in pids(relay), timeout=30)
    visits.check()
    anna.wait_ping(bert.ip4())
    wait_for("both are at the second process", lambda: relay.metric("derp_current_connections") == 2)

    # One after the other, as a service manager restarts: who comes in between waits.
    visits = Visits(visitor, relay.host.ip, 6)
    relay.host.run("kill", pids(relay)[0])
    wait_for("no process is left", lambda: not pids(relay), timeout=30)
    more = relay.dir / "pids.flags"
    more.write_text("-drain-time 5m")
    supervisor.send_signal(signal.SIGUSR1)
    wait_for("the third process relays", lambda: relay.text().count(" relaying ") == before + 3)
    linked = relay.text().count("linked to this relay's other process")
    visits.check()
    anna.wait_ping(bert.ip4())

    # A slow change: who comes meets the fourth, while the others stay at the third for minutes.
    more.unlink()
    third = pids(relay)[0]
    supervisor.send_signal(signal.SIGUSR1)
    wait_for("the fourth process relays", lambda: relay.text().count(" relaying ") == before + 4)
    wait_for("the two are linked", lambda: relay.text().count("linked to this relay's other process") >= linked + 2)
    relay.host.run("kill", third)
    wait_for("the third accepts no more", lambda: relay.text().count(" shutting down ") >= 3)
    carl = world.client("carl", up=False)
    carl.host.block_direct()
    carl.up(world.the_server.auth_key())
    for other in anna, bert:
        carl.wait_ping(other.ip4())
        other.wait_ping(carl.ip4())
    if third not in pids(relay):
        raise Failure("the third has not waited for its clients")
    # Counters lag a little. Who has left the third of its own accord needs no forwarding any more.
    wait_for("the fourth has forwarded, or has all three",
             lambda: relay.metric("derp_packets_forwarded_out") > 0 or relay.metric("derp_current_connections") >= 3)
    relay.host.run("kill", third)
    wait_for("a second signal ends it", lambda: third not in pids(relay), timeout=30)
    anna.wait_ping(carl.ip4())
    relay.host.run("kill", pids(relay)[0])
    wait_for("no process is left", lambda: not pids(relay), timeout=30)
