"""A relay that is started as root opens its ports and is nobody from then on; it reloads and restarts all the same."""
import pathlib
import re
import shutil
import signal

from world import Failure, sh, wait_for

CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapAmb")


def check(pid, uid):
    """Of each thread: whose it is, what it may, and that it gets no more."""
    threads = list(pathlib.Path(f"/proc/{pid}/task").iterdir())
    if len(threads) < 2:
        raise Failure("the relay has one thread only")
    for thread in threads:
        status = dict(line.split(":", 1) for line in (thread / "status").read_text().splitlines())
        if status["Uid"].split() != [str(uid)] * 4 or status["NoNewPrivs"].strip() != "1":
            raise Failure(f"user {status['Uid'].split()}, no new privileges {status['NoNewPrivs']}")
        if uid and (status["Gid"].split() != [str(uid)] * 4 or status["Groups"].split()):
            raise Failure(f"groups {status['Gid'].split()} {status['Groups'].split()}")
        for name in CAPABILITIES:
            if int(status[name], 16):
                raise Failure(f"{name} is {status[name]}")


def run(world):
    world.server()
    relay = world.relay("relay1")
    for folder in (world.dir, relay.dir):
        folder.chmod(0o755)

    # As root, nothing is left of what root may; as nobody, not even its files.
    relay.start()
    check(relay.proc.pid, 0)
    relay.stop()
    for path in (relay.dir / "certs").iterdir():
        shutil.chown(path, "nobody", "nogroup")
    shutil.chown(relay.dir / "certs", "nobody", "nogroup")
    relay.start("-user", "nobody")
    nobody = pathlib.Path(relay.dir / "certs").stat().st_uid
    check(relay.proc.pid, nobody)
    for url in (f"https://{relay.host.ip}/derp/probe", f"http://{relay.host.ip}/generate_204"):
        relay.host.run("curl", "-skf", url)

    # SIGHUP reads the certificate as nobody; one that it may not read changes nothing.
    relay.proc.send_signal(signal.SIGHUP)
    wait_for("the relay has read its certificate again",
             lambda: "certificate and rate limits read again" in relay.text())
    for path in (relay.dir / "certs").iterdir():
        shutil.chown(path, "root", "root")
    relay.proc.send_signal(signal.SIGHUP)
    wait_for("the certificate stays", lambda: "the certificate stays as it is" in relay.text())
    relay.host.run("curl", "-skf", f"https://{relay.host.ip}/derp/probe")
    relay.stop()
    if relay.proc.returncode != 0:
        raise Failure(f"the relay ended with {relay.proc.returncode}")

    # Whoever does not exist is nobody to become.
    done = relay.host.run(world.hatsize.with_name("hatsize-derp"), "-a", ":8080", "-c", relay.dir / "key",
                          "-user", "no-such-user", check=False)
    if done.returncode != 1 or "no-such-user" not in done.stdout + done.stderr:
        raise Failure(f"an unknown user: {done}")

    # The unit that goes with it is one that systemd takes, and keeps in.
    unit = pathlib.Path(__file__).parents[3] / "packaging" / "hatsize-derp.service"
    if shutil.which("systemd-analyze"):
        copy = world.dir / unit.name
        copy.write_text(unit.read_text().replace("/usr/bin/hatsize-derp", str(world.hatsize.with_name("hatsize-derp").resolve())))
        done = sh("systemd-analyze", "verify", copy, check=False)
        if done.returncode != 0 or done.stderr.strip():
            raise Failure(f"systemd-analyze verify: {done.stdout}{done.stderr}")
        exposed = sh("systemd-analyze", "security", "--offline=true", copy, check=False).stdout
        found = re.search(r"Overall exposure level for \S+ (\d+\.\d+)", exposed)
        if not found or float(found.group(1)) > 2.5:
            raise Failure(f"systemd-analyze security: {exposed[-200:]}")
