"""The container recipe: each stage that runs is done step by step on a Debian, and started as the compose file says; no builder of images is
needed."""
import json
import pathlib
import re
import shlex
import subprocess

import yaml

from machine import ROOT as NEW_ROOT
from world import Failure, Host, Skipped, sh, wait_for

TOP = pathlib.Path(__file__).parents[3]

# Packages come from the folder they were built into, and from nowhere else.
APT = """#!/bin/sh
for word; do case $word in *.deb) dpkg -i "$word" || exit 1 ;; esac; done
"""

# Behind the new root: $1 the steps, $2 the user's number, $3 the working directory, $4 the volumes, then the program. What compose.yaml
# says: nothing can be written but the volume and the temporary file systems, and no capability is left.
CONTAINER = """
mkdir /packages
cp /srv/packages/*.deb /packages
mv /srv/apt-get /usr/local/sbin/apt-get
sh -e -c "$1" >&2
for folder in $4; do mount -t tmpfs -o "mode=750,uid=$2,gid=$2" tmpfs "$folder"; done
mount -o remount,ro,bind /
cd "$3"
user=$2
shift 4
exec setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
"""


def stages(path):
    """[(instruction, text)] of each stage."""
    text = re.sub(r"\\\n\s*", " ", "\n".join(l for l in path.read_text().splitlines() if not l.lstrip().startswith("#")))
    found = []
    for line in filter(str.strip, text.splitlines()):
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest.strip()))
    return found


def texts(stage, word):
    return [rest for name, rest in stage if name == word]


def check_compose(name, stage, target=None):
    """That the service is what the stage says, and has no more rights than it needs."""
    compose = yaml.safe_load((TOP / "packaging" / "compose.yaml").read_text())
    service = compose["services"][name]
    build = (TOP / "packaging" / service["build"]["context"]).resolve()
    if build != TOP or not (build / service["build"]["dockerfile"]).is_file() or service["build"].get("target") != target:
        raise Failure(f"compose builds {name} from {service['build']}")
    inner = {volume.split(":")[1] for volume in service["volumes"]}
    if not set(texts(stage, "VOLUME")) <= inner or not {volume.split(":")[0] for volume in service["volumes"]} <= set(compose["volumes"]):
        raise Failure(f"volumes: {inner}")
    ports = {port.rsplit(":", 1)[1] for port in service["ports"]}
    exposed = {word.removesuffix("/tcp") for rest in texts(stage, "EXPOSE") for word in rest.split()}
    if ports != exposed:
        raise Failure(f"ports {ports}, exposed {exposed}")
    if not service["read_only"] or service["cap_drop"] != ["ALL"] or "no-new-privileges:true" not in service["security_opt"]:
        raise Failure("compose gives more than is needed")
    return service


class Container:
    """A stage of the recipe, done and started on a Debian of its own."""

    def __init__(self, world, name, share, stage, folders, **variables):
        base = world.dir / f"{name}-base"
        base.mkdir()
        steps = "\n".join(texts(stage, "RUN"))
        # Nothing of this machine's, nor a user of it who has the number.
        clear = 'getent passwd "$2" | cut -d: -f1 | xargs -r -n1 userdel 2>/dev/null; getent group "$2" | cut -d: -f1 | xargs -r -n1 groupdel\n'
        self.variables = dict(pair.split("=", 1) for rest in texts(stage, "ENV") for pair in shlex.split(rest))
        program = [word for kind in ("ENTRYPOINT", "CMD") for word in json.loads(texts(stage, kind)[0])]
        user = re.search(r"--uid (\d+) .* (\S+)$", next(rest for rest in texts(stage, "RUN") if "useradd" in rest))
        self.number = user.group(1)
        if texts(stage, "USER") != [user.group(2)]:
            raise Failure(f"the program does not run as {user.group(2)}")
        self.host, self.log = Host(world, name), world.dir / f"{name}.log"
        # As Docker has it, and compose.yaml where it is needed.
        self.host.run("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=0")
        self.proc = self.host.spawn(
            "unshare", "--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child=SIGKILL", "sh", "-c",
            NEW_ROOT + "set +e\n" + clear + "set -e\n" + CONTAINER, "sh", base, share, steps, self.number, texts(stage, "WORKDIR")[-1],
            folders, *program, log=self.log, env={**self.variables, **variables, "ASAN_OPTIONS": "detect_leaks=0"})

    def wait(self, what, holds):
        def check():
            if self.proc.poll() is not None:
                raise Failure(f"it ended with {self.proc.returncode}")
            return holds()

        try:
            wait_for(what, check, timeout=90)
        except Failure as err:
            raise Failure(f"{err}\n{self.log.read_text()[-2000:]}") from None
        self.pid = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()[0]
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        if f"Uid:\t{self.number}\t{self.number}" not in status or "CapBnd:\t0000000000000000" not in status:
            raise Failure(status)
        if self.execute("touch", "/etc/x").returncode == 0:
            raise Failure("the root can be written")

    def execute(self, *argv):
        return subprocess.run(["nsenter", f"--target={self.pid}", "--mount", "--pid", "--net", "setpriv", "--reuid", self.number,
                               "--regid", self.number, "--clear-groups", "--no-new-privs", *argv], capture_output=True, text=True,
                              timeout=60, env={**self.variables, "PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=0"})

    def end(self, last_words):
        """SIGTERM, as `docker stop` sends it to the first process, ends it in order."""
        subprocess.run(["kill", "-TERM", self.pid], check=True)
        wait_for("it ended", lambda: self.proc.poll() is not None)
        if self.proc.returncode != 0:
            raise Failure(f"it ended with {self.proc.returncode}: {self.log.read_text()[-1000:]}")
        if "Sanitizer" in self.log.read_text() or last_words not in self.log.read_text():
            raise Failure(self.log.read_text()[-2000:])


def run(world):
    build = world.hatsize.resolve().parents[1]
    if b"__tsan_init" in (build / "src" / "hatsize-derp").read_bytes():
        raise Skipped("the thread sanitizer's programs are not released")
    first, relay, final = stages(TOP / "packaging" / "Containerfile")
    if (not texts(first, "FROM")[0].startswith("debian:12 ") or texts(final, "FROM") != ["debian:12-slim"]
            or texts(relay, "FROM") != ["debian:12-slim AS relay"]):
        raise Failure("other images than Debian 12")
    if not any("scripts/package deb" in rest for rest in texts(first, "RUN")):
        raise Failure("the first stage makes no packages")
    check_compose("hatsize", final)
    lent = check_compose("relay", relay, "relay")
    if lent["profiles"] != ["relay"] or shlex.split(lent["command"][len("${DERP_FLAGS:-"):-1]) != json.loads(texts(relay, "CMD")[0]):
        raise Failure(f"the relay is {lent}")

    share = world.dir / "share"
    (share / "packages").mkdir(parents=True)
    sh(TOP / "scripts" / "package", "deb", "--build", build, "--out", share / "packages", "--compress", "none", timeout=240)
    (share / "apt-get").write_text(APT)
    (share / "apt-get").chmod(0o755)
    visitor = Host(world, "visitor")
    serve(world, visitor, share, final)
    (share / "apt-get").write_text(APT)
    (share / "apt-get").chmod(0o755)
    carry(world, visitor, share, relay)


def serve(world, visitor, share, stage):
    server = Container(world, "container", share, stage, "/var/lib/hatsize /run/hatsize")
    server.wait("the container's server answers",
                lambda: visitor.run("curl", "-sf", f"http://{server.host.ip}:8080/health", check=False).returncode == 0)
    health = json.loads(texts(stage, "HEALTHCHECK")[0].partition("CMD ")[2])
    for argv in (health, ["hatsize", "users", "create", "alice"], ["hatsize", "quickstart"]):
        done = server.execute(*argv)
        if done.returncode != 0:
            raise Failure(f"{argv}: {done.stdout}{done.stderr}")
    server.end("shutting down")


def carry(world, visitor, share, stage):
    """The relay's image: a certificate of its own, both its ports, and what a relay map is to say of it."""
    relay = Container(world, "lent", share, stage, texts(stage, "VOLUME")[0])
    relay.wait("the container's relay answers",
               lambda: visitor.run("curl", "-sfk", f"https://{relay.host.ip}/derp/probe", check=False).returncode == 0)
    if visitor.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{relay.host.ip}/generate_204").stdout != "204":
        raise Failure("no captive portal check on port 80")
    if "sha256-raw:" not in relay.log.read_text():
        raise Failure(relay.log.read_text()[-2000:])
    relay.end("")
