"""The release tarball: it runs where there is nothing but a kernel and glibc, and is the same every time."""
import hashlib
import os
import pathlib
import re
import shutil

from world import Failure, Host, Skipped, sh, wait_for

ROOT = pathlib.Path(__file__).parents[3]
SHELL = "/bin/sh"  # a program that needs glibc
GLIBC = re.compile(r"^(libc|libm|libpthread|libdl|librt|libresolv|ld-linux[^.]*)\.so")

# A root of its own: what is in $1, with the kernel's files; then the command.
INIT = """set -e
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount --bind /dev/urandom "$1/dev/urandom"
mount --bind /dev/null "$1/dev/null"
root=$1
shift
exec chroot "$root" "$@"
"""


def glibc_only(top, root):
    """Puts glibc, and nothing else, where the programs look for it; tells how much of it they ask for."""
    newest = (0, 0)
    for path in sorted((top / "lib" / "hatsize").iterdir()) + [top / "bin" / "hatsize", top / "bin" / "hatsize-derp"]:
        head = sh("objdump", "-p", path).stdout
        for needed in re.findall(r"NEEDED\s+(\S+)", head):
            if not GLIBC.match(needed) and not (top / "lib" / "hatsize" / needed).exists():
                raise Failure(f"{path.name} needs {needed}, which does not come with it")
        for version in re.findall(r"GLIBC_(\d+)\.(\d+)", head):
            newest = max(newest, tuple(map(int, version)))
        if "RUNPATH" in head or "RPATH" not in head:
            raise Failure(f"{path.name} looks elsewhere for its libraries")
    for line in sh("ldd", SHELL).stdout.splitlines():
        loader = re.search(r"(/lib\S*/ld-linux\S+)", line)
        if loader:
            put(pathlib.Path(loader.group(1)), root)
    folder = pathlib.Path(next(p for p in re.findall(r"=> (\S+libc\.so\.6)", sh("ldd", SHELL).stdout))).parent
    for name in os.listdir(folder):
        if GLIBC.match(name):
            put(folder / name, root)
    return newest


def put(path, root):
    to = root / str(path).lstrip("/")
    to.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, to)


def run(world):
    if not shutil.which("patchelf"):
        raise Skipped("patchelf is not there, which makes the tarball")
    build = world.hatsize.resolve().parents[1]
    if b"__tsan_init" in (build / "src" / "hatsize-derp").read_bytes():
        raise Skipped("the thread sanitizer's programs are not released")
    sums = set()
    for out in (world.dir / "one", world.dir / "two"):
        sh(ROOT / "scripts" / "package", "tarball", "--build", build, "--out", out, "--compress", "none", timeout=240)
        tarball = next(out.glob("hatsize-*.tar.gz"))
        sums.add(hashlib.sha256(tarball.read_bytes()).hexdigest())
        sh("sh", "-c", 'cd "$1" && sha256sum -c --quiet SHA256SUMS', "sh", out)
    if len(sums) != 1:
        raise Failure("two tarballs of the same are not the same")

    root = world.dir / "root"
    for name in ("proc", "dev", "tmp", "etc", "data"):
        (root / name).mkdir(parents=True)
    for name in ("urandom", "null"):
        (root / "dev" / name).touch()
    sh("tar", "-xzf", tarball, "-C", root, "--strip-components", "1")
    newest = glibc_only(root, root)
    if newest > (2, 36):
        raise Failure(f"glibc {newest} is newer than Debian 12's")
    if len(list((root / "share" / "doc" / "licenses").iterdir())) < 10:
        raise Failure("libraries came without their licences")

    host, visitor = Host(world, "bare"), Host(world, "visitor")

    def inside(*argv):
        return ("unshare", "--mount", "--pid", "--fork", "--kill-child=SIGTERM", "sh", "-c", INIT, "sh", root, *argv)

    version = host.run(*inside("/bin/hatsize-derp", "-version")).stdout
    if not re.search(r"^0\.\d+\.\d+\n  commit: ", version):
        raise Failure(f"hatsize-derp -version: {version}")
    log = world.dir / "bare.log"
    proc = host.spawn(*inside("/bin/hatsize", "serve", "--data-dir", "/data"), log=log,
                      env={"ASAN_OPTIONS": "detect_leaks=0"})

    def up():
        if proc.poll() is not None:
            raise Failure(f"it ended with {proc.returncode}: {log.read_text()[-1000:]}")
        return visitor.run("curl", "-sf", f"http://{host.ip}:8080/health", check=False).returncode == 0

    wait_for("the server answers", up, timeout=60)
    host.run(*inside("/bin/hatsize", "--data-dir", "/data", "users", "create", "alice"))
    if "alice" not in host.run(*inside("/bin/hatsize", "--data-dir", "/data", "users", "list")).stdout:
        raise Failure("a user is not there")
    host.end(proc, wait=20)

    # Started as root and told to be somebody else: the low port is open, and nothing is left of root.
    (root / "etc" / "passwd").write_text("hatsize:x:977:976::/:/bin/false\n")
    (root / "own").mkdir()
    proc = host.spawn(*inside("/bin/hatsize", "serve", "--data-dir", "/own/data"), log=log,
                      env={"ASAN_OPTIONS": "detect_leaks=0", "HATSIZE_RUN_AS": "hatsize", "HATSIZE_LISTEN_ADDR": ":80"})
    wait_for("the server answers on port 80", lambda: visitor.run("curl", "-sf", f"http://{host.ip}/health", check=False).returncode == 0,
             timeout=60)
    first = pathlib.Path(f"/proc/{proc.pid}/task/{proc.pid}/children").read_text().split()[0]
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{first}/status").read_text().splitlines() if ":" in line)
    if status["Uid"].split() != ["977"] * 4 or status["Gid"].split() != ["976"] * 4 or status["Groups"].split():
        raise Failure(f"user {status['Uid']}, group {status['Gid']}, {status['Groups']}")
    if int(status["CapPrm"], 16) or status["NoNewPrivs"].strip() != "1" or status["Seccomp"].strip() != "2":
        raise Failure(f"capabilities {status['CapPrm']}, no new privileges {status['NoNewPrivs']}, seccomp {status['Seccomp']}")
    told = log.read_text()
    if "Sanitizer" in told or "runtime error" in told:
        raise Failure(told[-2000:])
