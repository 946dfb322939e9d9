"""The relay's unit under a systemd of its own: it starts, is kept in, reloads, restarts without refusing anybody, stops."""
import pathlib
import re
import shutil

from machine import Machine
from world import Failure, Host, Skipped, Visits, wait_for

UNIT = pathlib.Path(__file__).parents[3] / "packaging" / "hatsize-derp.service"

DROP_IN = """[Service]
Environment="DERP_FLAGS=-certmode self-signed -hostname {ip}"
Environment=ASAN_OPTIONS=detect_leaks=0
StandardOutput=append:/run/relay.log
StandardError=append:/run/relay.log
"""


class Relay(Machine):
    """A machine with the relay's unit; its program is /srv/hatsize-derp."""

    def __init__(self, world, host, binary):
        share = world.dir / "share"
        units = share / "units"
        (units / "hatsize-derp.service.d").mkdir(parents=True)
        (units / UNIT.name).write_text(UNIT.read_text().replace("/usr/bin/hatsize-derp", "/srv/hatsize-derp"))
        (units / "hatsize-derp.service.d" / "test.conf").write_text(DROP_IN.format(ip=host.ip))
        shutil.copy2(binary, share / "hatsize-derp")
        super().__init__(world, host, share)

    def ctl(self, *argv):
        done = self.run("systemctl", *argv, "hatsize-derp", check=False)
        if done.returncode != 0:
            status = self.run("systemctl", "status", "--no-pager", "-n0", "hatsize-derp", check=False).stdout
            raise Failure(f"systemctl {' '.join(argv)}: {done.stderr}{status}{self.text()[-2000:]}{self.tail()}")
        return done.stdout

    def value(self, name):
        return self.show("hatsize-derp", name)

    def text(self):
        return self.run("cat", "/run/relay.log", check=False).stdout


def check_sandbox(machine):
    pid = machine.value("MainPID")
    status = dict(line.split(":", 1) for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":" in line)
    if "0" in status["Uid"].split() or status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
        raise Failure(f"user {status['Uid']}, no new privileges {status['NoNewPrivs']}, seccomp {status['Seccomp']}")
    for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        if int(status[name], 16):
            raise Failure(f"{name} is {status[name]}")
    # What even root could not do where the relay lives.
    for path in ("/usr/x", "/etc/x", "/srv/x"):
        if "Read-only" not in machine.run("nsenter", f"--target={pid}", "--mount", "touch", path, check=False).stderr:
            raise Failure(f"{path} can be written")
    for path in ("/home", "/root"):
        if machine.run("nsenter", f"--target={pid}", "--mount", "ls", "-A", path, check=False).stdout.strip():
            raise Failure(f"{path} can be read")
    mode = machine.run("stat", "-c", "%a", "/var/lib/private/hatsize-derp/derper.key").stdout.strip()
    if mode != "600":
        raise Failure(f"the key's mode is {mode}")


def run(world):
    binary = world.hatsize.with_name("hatsize-derp").resolve()
    if b"__tsan_init" in binary.read_bytes():
        raise Skipped("the thread sanitizer cannot live in the sandbox")
    world.server()
    host, visitor = Host(world, "relay"), Host(world, "visitor")
    machine = Relay(world, host, binary)
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
    if int(machine.value("NFileDescriptorStore")) < 3:
        raise Failure("systemd does not keep the sockets")

    first = machine.value("MainPID")
    machine.ctl("reload")
    wait_for("the certificate was read again", lambda: "certificate and rate limits read again" in machine.text())
    if machine.value("MainPID") != first or machine.value("ActiveState") != "active":
        raise Failure("a reload is a restart")

    # Two restarts while somebody comes all the time.
    visits = Visits(visitor, host.ip, 8)
    for _ in range(2):
        machine.ctl("restart")
        check_sandbox(machine)
    if machine.value("MainPID") == first:
        raise Failure("a restart is none")
    visits.check()

    # It dies, and is back by itself; the sockets were systemd's meanwhile.
    before = machine.value("MainPID")
    machine.run("kill", "-9", before)
    wait_for("it is started again", lambda: machine.value("MainPID") not in (before, "0") and
             machine.value("ActiveState") == "active", timeout=60)
    visitor.run("curl", "-skf", url)

    machine.ctl("stop")
    if machine.value("Result") != "success" or machine.value("ActiveState") != "inactive":
        raise Failure(f"stopped: {machine.value('Result')}, {machine.value('ActiveState')}")
    if visitor.run("curl", "-sk", "--max-time", "5", url, check=False).returncode == 0:
        raise Failure("somebody answers behind the end")
    if re.search(r"nodekey:|privkey:", machine.text()):
        raise Failure("the log holds a key")
