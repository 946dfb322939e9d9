"""The relay's unit under a systemd of its own: it starts, is kept in, reloads, restarts without refusing anybody, stops."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from world import Failure, Host, Skipped, Visits, wait_for

UNIT = pathlib.Path(__file__).parents[3] / "packaging" / "hatsize-derp.service"

# The first steps of that machine: file systems of its own, no units but a few targets and ours, then systemd. It is
# told that it is a container, so it touches no clock and no settings of the kernel.
INIT = """set -e
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
if mountpoint -q /sys/fs/cgroup; then umount -R -l /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for target in sysinit basic local-fs sockets timers multi-user; do
    if [ -d /lib/systemd/system/$target.target.wants ]; then mount -t tmpfs tmpfs /lib/systemd/system/$target.target.wants; fi
done
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /srv
cp "$2" /srv/hatsize-derp
cp -r "$1"/. /etc/systemd/system/
exec env -i container=hatsize PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=first.target \\
    --log-target=console --show-status=no
"""

DROP_IN = """[Service]
Environment="DERP_FLAGS=-certmode self-signed -hostname {ip}"
Environment=ASAN_OPTIONS=detect_leaks=0
StandardOutput=append:/run/relay.log
StandardError=append:/run/relay.log
"""


def cgroup_root():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    raise Skipped("no unified control groups on this machine")


class Machine:
    """A systemd as the first process of namespaces of its own, on a host's network."""

    def __init__(self, world, host, binary):
        self.host, self.units, self.log = host, world.dir / "units", world.dir / "systemd.log"
        self.group = cgroup_root() / f"hz{world.tag}"
        (self.units / "hatsize-derp.service.d").mkdir(parents=True)
        (self.units / "first.target").write_text("[Unit]\nDescription=Nothing\n")
        (self.units / UNIT.name).write_text(UNIT.read_text().replace("/usr/bin/hatsize-derp", "/srv/hatsize-derp"))
        (self.units / "hatsize-derp.service.d" / "test.conf").write_text(DROP_IN.format(ip=host.ip))
        self.proc = None
        self.binary = binary

    def start(self):
        try:
            self.group.mkdir()
        except OSError as err:
            raise Skipped(f"no control group of one's own: {err}") from None
        argv = ("sh", "-c", 'echo $$ >"$1"/cgroup.procs && shift && exec "$@"', "sh", self.group, "nsenter",
                f"--net=/run/netns/{self.host.ns}", "unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork",
                "--kill-child=SIGKILL", "sh", "-c", INIT, "sh", self.units, self.binary)
        # Not by `ip netns exec`, whose /sys has no control groups.
        with open(self.log, "ab") as out:
            self.proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.host.procs.append(self.proc)
        try:
            wait_for("systemd is up", self.is_up, timeout=60)
        except Failure as err:
            raise Skipped(f"systemd cannot be the first process here: {self.log.read_text()[-200:].strip() or err}") from None

    def is_up(self):
        if self.proc.poll() is not None:
            raise Skipped(f"systemd cannot be the first process here: {self.log.read_text()[-200:].strip()}")
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()
        if not children or pathlib.Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            return False
        self.pid = children[0]
        return self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def run(self, *argv):
        return subprocess.run(["nsenter", f"--target={self.pid}", "--all", *map(str, argv)], capture_output=True, text=True,
                              timeout=120)

    def ctl(self, *argv):
        done = self.run("systemctl", *argv, "hatsize-derp")
        if done.returncode != 0:
            status = self.run("systemctl", "status", "--no-pager", "-n0", "hatsize-derp").stdout
            raise Failure(f"systemctl {' '.join(argv)}: {done.stderr}{status}{self.text()[-2000:]}{self.log.read_text()[-1000:]}")
        return done.stdout

    def show(self, name):
        return self.ctl("show", "--value", "-p", name).strip()

    def text(self):
        return self.run("cat", "/run/relay.log").stdout

    def end(self):
        if self.proc:
            self.host.end(self.proc, signal.SIGKILL, wait=20)
        for _ in range(100):
            for path, _, _ in os.walk(self.group, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:
                    pass
            if not self.group.exists():
                return
            time.sleep(0.1)


def check_sandbox(machine):
    pid = machine.show("MainPID")
    status = dict(line.split(":", 1) for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":" in line)
    if "0" in status["Uid"].split() or status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
        raise Failure(f"user {status['Uid']}, no new privileges {status['NoNewPrivs']}, seccomp {status['Seccomp']}")
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(status[name], 16):
            raise Failure(f"{name} is {status[name]}")
    # What even root could not do where the relay lives.
    for path in ("/usr/x", "/etc/x", "/srv/x"):
        if "Read-only" not in machine.run("nsenter", f"--target={pid}", "--mount", "touch", path).stderr:
            raise Failure(f"{path} can be written")
    for path in ("/home", "/root"):
        if machine.run("nsenter", f"--target={pid}", "--mount", "ls", "-A", path).stdout.strip():
            raise Failure(f"{path} can be read")
    mode = machine.run("stat", "-c", "%a", "/var/lib/private/hatsize-derp/derper.key").stdout.strip()
    if mode != "600":
        raise Failure(f"the key's mode is {mode}")


def run(world):
    if not os.path.exists("/lib/systemd/systemd") or not shutil.which("unshare"):
        raise Skipped("no systemd on this machine")
    binary = world.hatsize.with_name("hatsize-derp").resolve()
    if b"__tsan_init" in binary.read_bytes():
        raise Skipped("the thread sanitizer cannot live in the sandbox")
    world.server()
    host, visitor = Host(world, "relay"), Host(world, "visitor")
    machine = Machine(world, host, binary)
    try:
        machine.start()
        through(machine, host, visitor)
    finally:
        machine.end()


def through(machine, host, visitor):
    url = f"https://{host.ip}/derp/probe"

    # The unit says when it is ready: whoever comes then is served.
    machine.ctl("start")
    visitor.run("curl", "-skf", url)
    check_sandbox(machine)
    if int(machine.show("NFileDescriptorStore")) < 3:
        raise Failure("systemd does not keep the sockets")

    first = machine.show("MainPID")
    machine.ctl("reload")
    wait_for("the certificate was read again", lambda: "certificate and rate limits read again" in machine.text())
    if machine.show("MainPID") != first or machine.show("ActiveState") != "active":
        raise Failure("a reload is a restart")

    # Two restarts while somebody comes all the time.
    visits = Visits(visitor, host.ip, 8)
    for _ in range(2):
        machine.ctl("restart")
        check_sandbox(machine)
    if machine.show("MainPID") == first:
        raise Failure("a restart is none")
    visits.check()

    # It dies, and is back by itself; the sockets were systemd's meanwhile.
    before = machine.show("MainPID")
    machine.run("kill", "-9", before)
    wait_for("it is started again", lambda: machine.show("MainPID") not in (before, "0") and
             machine.show("ActiveState") == "active", timeout=60)
    visitor.run("curl", "-skf", url)

    machine.ctl("stop")
    if machine.show("Result") != "success" or machine.show("ActiveState") != "inactive":
        raise Failure(f"stopped: {machine.show('Result')}, {machine.show('ActiveState')}")
    if visitor.run("curl", "-sk", "--max-time", "5", url, check=False).returncode == 0:
        raise Failure("somebody answers behind the end")
    if re.search(r"nodekey:|privkey:", machine.text()):
        raise Failure("the log holds a key")
