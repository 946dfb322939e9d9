"""The Debian packages: what is in them, and their life on a Debian: installed, used, upgraded, removed, purged (headscale.md 1.6)."""
import pathlib
import re

from machine import Machine
from world import Failure, Host, Skipped, sh, wait_for

ROOT = pathlib.Path(__file__).parents[3]

HOLDS = {
    "hatsize": ("/usr/bin/hatsize", "/lib/systemd/system/hatsize.service", "/etc/hatsize/config.yaml",
                "/usr/lib/sysusers.d/hatsize.conf", "/usr/lib/tmpfiles.d/hatsize.conf", "/usr/share/man/man1/hatsize.1.gz",
                "/usr/share/bash-completion/completions/hatsize", "/usr/share/zsh/vendor-completions/_hatsize",
                "/usr/share/fish/vendor_completions.d/hatsize.fish", "/usr/share/doc/hatsize/copyright",
                "/usr/share/doc/hatsize/examples/headscale.conf"),
    "hatsize-derp": ("/usr/bin/hatsize-derp", "/lib/systemd/system/hatsize-derp.service", "/etc/default/hatsize-derp",
                     "/usr/share/man/man8/hatsize-derp.8.gz", "/usr/share/doc/hatsize-derp/copyright"),
}

# Sanitizers look for leaks by tracing, which the unit forbids.
DROP_IN = """[Service]
Environment=ASAN_OPTIONS=detect_leaks=0
StandardOutput=append:/run/test.log
StandardError=append:/run/test.log
"""


def package(world, out, revision):
    sh(ROOT / "scripts" / "package", "deb", "--build", world.hatsize.resolve().parents[1], "--out", out, "--revision", revision,
       "--compress", "none", timeout=240)
    return {name: next(out.glob(f"{name}_*-{revision}_*.deb")) for name in HOLDS}


def check_contents(debs):
    for name, deb in debs.items():
        rows = [line.split(None, 5) for line in sh("dpkg-deb", "-c", deb).stdout.splitlines()]
        files = {row[5].lstrip("."): row for row in rows}
        for path in HOLDS[name]:
            if path not in files:
                raise Failure(f"{name} has no {path}")
        for path, row in files.items():
            if row[1] != "root/root" or re.search("[sS]", row[0]) or row[0][8] == "w":
                raise Failure(f"{name}: {row}")
        if sh("dpkg-deb", "-f", deb, "Depends").stdout.count("libc6") != 1:
            raise Failure(f"{name} depends on no libc")


def active(machine, unit):
    return machine.show(unit, "ActiveState") == "active"


def through(machine, visitor):
    listen = f"http://{machine.host.ip}:8080"
    machine.run("dpkg", "-i", *(f"/srv/1/{deb}" for deb in machine.first))

    # Installed is started, as a user of its own who may bind low ports and nothing else.
    wait_for("the server is up", lambda: active(machine, "hatsize"), timeout=60)
    visitor.run("curl", "-sf", f"{listen}/health")
    pid = machine.show("hatsize", "MainPID")
    status = dict(line.split(":", 1) for line in machine.run("cat", f"/proc/{pid}/status").stdout.splitlines() if ":" in line)
    if "0" in status["Uid"].split() or status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
        raise Failure(f"user {status['Uid']}, no new privileges {status['NoNewPrivs']}, seccomp {status['Seccomp']}")
    if int(status["CapEff"], 16) & ~(1 << 10):
        raise Failure(f"capabilities {status['CapEff']}")
    modes = machine.run("stat", "-c", "%a %U:%G %n", "/etc/hatsize", "/etc/hatsize/config.yaml", "/var/lib/hatsize",
                        "/run/hatsize", "/run/hatsize/hatsize.sock").stdout.splitlines()
    if modes != ["750 root:hatsize /etc/hatsize", "640 root:hatsize /etc/hatsize/config.yaml", "750 hatsize:hatsize /var/lib/hatsize",
                 "750 hatsize:hatsize /run/hatsize", "770 hatsize:hatsize /run/hatsize/hatsize.sock"]:
        raise Failure(f"modes: {modes}")
    if machine.run("systemctl", "is-enabled", "hatsize").stdout.strip() != "enabled" or active(machine, "hatsize-derp"):
        raise Failure("the server is not enabled, or the relay runs unasked")

    # The command line: root and the group; nobody else.
    machine.run("hatsize", "health")
    machine.run("hatsize", "users", "create", "alice")
    if machine.run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "hatsize", "users", "list",
                   check=False).returncode != 1:
        raise Failure("nobody may list users")
    machine.run("setpriv", "--reuid", "nobody", "--regid", "hatsize", "--clear-groups", "hatsize", "configtest")
    if "alice" not in machine.run("setpriv", "--reuid", "nobody", "--regid", "hatsize", "--clear-groups", "hatsize", "users",
                                  "list").stdout:
        raise Failure("the group may not list users")
    if "hatsize users create" not in machine.run("zcat", "/usr/share/man/man1/hatsize.1.gz").stdout:
        raise Failure("the manual page tells of no commands")
    machine.run("bash", "-n", "/usr/share/bash-completion/completions/hatsize")

    # A change of the configuration is the operator's: it outlives an upgrade. So does the data.
    machine.run("sh", "-c", "printf 'metrics_listen_addr: 127.0.0.1:9099\\n' >>/etc/hatsize/config.yaml")
    machine.run("systemctl", "reload", "hatsize")
    if machine.show("hatsize", "MainPID") != pid:
        raise Failure("a reload is a restart")
    machine.run("dpkg", "-i", *(f"/srv/2/{deb}" for deb in machine.second))
    wait_for("the server is up again", lambda: active(machine, "hatsize") and machine.show("hatsize", "MainPID") != pid, timeout=60)
    machine.run("curl", "-sf", "http://127.0.0.1:9099/metrics")
    if "alice" not in machine.run("hatsize", "users", "list").stdout:
        raise Failure("users are gone after an upgrade")

    relay(machine, visitor)

    # Removed: the program is gone, configuration and data stay. Purged: those too.
    machine.run("dpkg", "-r", "hatsize")
    if active(machine, "hatsize") or machine.run("test", "-e", "/usr/bin/hatsize", check=False).returncode == 0:
        raise Failure("removed, and there still")
    for path in ("/etc/hatsize/config.yaml", "/var/lib/hatsize/noise_private.key"):
        machine.run("test", "-e", path)
    machine.run("dpkg", "-P", "hatsize")
    for path in ("/etc/hatsize", "/var/lib/hatsize", "/lib/systemd/system/hatsize.service"):
        if machine.run("test", "-e", path, check=False).returncode == 0:
            raise Failure(f"purged, and {path} is there still")


    told = machine.run("cat", "/run/test.log").stdout
    if "Sanitizer" in told or "runtime error" in told or "privkey:" in told:
        raise Failure(told[-2000:])


def relay(machine, visitor):
    machine.run("sh", "-c", f"echo 'DERP_FLAGS=-certmode self-signed -hostname {machine.host.ip} -stun-port 3479' >/etc/default/hatsize-derp")
    machine.run("systemctl", "enable", "--now", "hatsize-derp")
    visitor.run("curl", "-skf", f"https://{machine.host.ip}/derp/probe")
    machine.run("dpkg", "-P", "hatsize-derp")
    if active(machine, "hatsize-derp") or machine.run("ls", "-A", "/var/lib/private", check=False).stdout.strip():
        raise Failure("something of the relay is left")


def run(world):
    derp = world.hatsize.with_name("hatsize-derp")
    if b"__tsan_init" in derp.read_bytes():
        raise Skipped("the thread sanitizer cannot live in the sandbox")
    share = world.dir / "share"
    share.mkdir()
    first, again, second = package(world, share / "1", 1), package(world, share / "again", 1), package(world, share / "2", 2)
    check_contents(first)
    for name, deb in first.items():
        if deb.read_bytes() != again[name].read_bytes():
            raise Failure(f"{deb.name} is another every time")
    host, visitor = Host(world, "debian"), Host(world, "visitor")
    machine = Machine(world, host, share)
    machine.first, machine.second = [d.name for d in first.values()], [d.name for d in second.values()]
    for unit in HOLDS:
        (share / "units" / f"{unit}.service.d").mkdir()
        (share / "units" / f"{unit}.service.d" / "test.conf").write_text(DROP_IN)
    try:
        machine.start()
        through(machine, visitor)
    except Failure as err:
        raise Failure(f"{err}\n{machine.run('tail', '-n', 20, '/run/test.log', check=False).stdout if machine.pid else ''}") from None
    finally:
        machine.end()
