"""The container image for real: built from packaging/Containerfile by buildah, run as compose.yaml says, joined by a client.

Without a registry: `scripts/clients image` makes the Debian that it begins with. ./test does neither this nor installs
buildah (Debian: buildah), so the scenario is skipped unless somebody did: a build takes minutes.
"""
import json
import os
import pathlib
import shutil
import subprocess

from world import Failure, Host, Skipped, built, wait_for

TOP = pathlib.Path(__file__).parents[3]

# $1: the image's files, $2 and $3: user and group, $4: the working directory; then the program. Nothing can be written
# but the volume and the temporary file systems, and no capability is left.
CONTAINER = """set -e
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount --rbind /dev dev
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
for dir in /var/lib/hatsize /run/hatsize; do mount -t tmpfs -o "mode=750,uid=$2,gid=$3" tmpfs "$dir"; done
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -o remount,ro,bind /
cd "$4"
user=$2 group=$3
shift 4
exec setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all -- "$@"
"""


class Images:
    """buildah with a store of its own, which is kept: a second build uses what has not changed."""

    def __init__(self, folder):
        self.argv = ("buildah", "--root", folder / "store", "--runroot", folder / "run")

    def __call__(self, *argv, timeout=120):
        done = subprocess.run([str(word) for word in (*self.argv, *argv)], cwd=TOP, text=True, capture_output=True, timeout=timeout,
                              env={**os.environ, "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs"})
        if done.returncode != 0:
            raise Failure(f"buildah {argv[0]}: {(done.stdout + done.stderr)[-3000:]}")
        return done.stdout.strip()

    def has(self, name):
        return bool(self("images", "-q", "--filter", f"reference={name}"))


def numbers(root, name):
    words = next(line for line in (root / "etc" / "passwd").read_text().splitlines() if line.startswith(name + ":")).split(":")
    return words[2], words[3]


def run(world):
    archive = built("image", "debian.tar")
    if not shutil.which("buildah"):
        raise Skipped("no buildah on this machine (Debian: buildah)")
    images = Images(archive.parent)
    if not images.has("docker.io/library/debian:12"):
        first = images("from", "scratch")
        images("add", first, archive, "/")
        images("commit", "--rm", first, "docker.io/library/debian:12")
        images("tag", "docker.io/library/debian:12", "docker.io/library/debian:12-slim")
    images("build", "--layers", "--pull-never", "--format", "docker", "-f", "packaging/Containerfile", "-t", "hatsize", ".",
           timeout=3000)

    images("build", "--layers", "--pull-never", "--format", "docker", "-f", "packaging/Containerfile", "--target", "relay",
           "-t", "hatsize-derp", ".", timeout=3000)

    for name, does in (("hatsize", use), ("hatsize-derp", relay)):
        config = json.loads(images("inspect", "--type", "image", name))["Docker"]["config"]
        container = images("from", "--pull-never", f"localhost/{name}")
        try:
            does(world, config, pathlib.Path(images("mount", container)))
        finally:
            images("rm", container)


def relay(world, config, root):
    """What the relay's image has in it, and that its program starts there. How it runs: the container recipe's scenario."""
    if config["User"] != "hatsize-derp" or set(config["ExposedPorts"]) != {"443/tcp", "80/tcp", "3478/udp"}:
        raise Failure(str(config))
    said = subprocess.run(["chroot", "--userspec=999:999", root, config["Entrypoint"][0], "-version"], capture_output=True, text=True, timeout=60)
    if said.returncode != 0 or "commit:" not in said.stdout:
        raise Failure(said.stdout + said.stderr)


def use(world, config, root):
    host, visitor = Host(world, "container"), Host(world, "visitor")
    url, log = f"http://{host.ip}:8080", world.dir / "container.log"
    variables = {**dict(pair.split("=", 1) for pair in config["Env"]), "HATSIZE_SERVER_URL": url}
    user, group = numbers(root, config["User"])
    proc = host.spawn("env", "-i", *(f"{name}={text}" for name, text in variables.items()), "unshare", "--mount", "--pid", "--ipc",
                      "--uts", "--fork", "--kill-child=SIGKILL", "sh", "-c", CONTAINER, "sh", root, user, group,
                      config["WorkingDir"], *config["Entrypoint"], *config["Cmd"], log=log)

    def answers():
        if proc.poll() is not None:
            raise Failure(f"it ended with {proc.returncode}: {log.read_text()[-2000:]}")
        return visitor.run("curl", "-sf", f"{url}/health", check=False).returncode == 0

    wait_for("the container's server answers", answers, timeout=60)
    first = pathlib.Path(f"/proc/{proc.pid}/task/{proc.pid}/children").read_text().split()[0]

    def execute(*argv):
        done = subprocess.run(["nsenter", f"--target={first}", "--mount", "--pid", "--net", "setpriv", "--reuid", user, "--regid", group,
                               "--clear-groups", "--no-new-privs", *argv], capture_output=True, text=True, timeout=60, env=variables)
        if done.returncode != 0:
            raise Failure(f"{argv}: {done.stdout}{done.stderr}")
        return done.stdout

    status = pathlib.Path(f"/proc/{first}/status").read_text()
    if f"Uid:\t{user}\t{user}" not in status or user == "0" or "CapBnd:\t0000000000000000" not in status:
        raise Failure(status)
    execute(*config["Healthcheck"]["Test"][1:])
    person = json.loads(execute("hatsize", "users", "create", "alice", "-o", "json"))
    key = json.loads(execute("hatsize", "preauthkeys", "create", "--user", person["id"], "-o", "json"))["key"]
    anna = world.client("anna", up=False)
    anna.ts("up", f"--login-server={url}", "--hostname=anna", f"--auth-key={key}", "--timeout=60s", timeout=70)
    if [node["givenName"] for node in json.loads(execute("hatsize", "nodes", "list", "-o", "json"))] != ["anna"]:
        raise Failure("the client is not in the list")

    # As `docker stop` ends it.
    subprocess.run(["kill", f"-{config['StopSignal']}", first], check=True)
    wait_for("it ended", lambda: proc.poll() is not None)
    if proc.returncode != 0 or "shutting down" not in log.read_text():
        raise Failure(f"it ended with {proc.returncode}: {log.read_text()[-2000:]}")
