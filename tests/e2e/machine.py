"""A Debian of one's own: this machine's files under a layer that is thrown away, and a systemd as its first process.

What is installed, written and removed in there, dpkg's database included, never reaches the machine itself.

    machine = Machine(world, host, share=folder)     # the folder is /srv in there
    machine.start()
    machine.run("dpkg", "-i", "/srv/hatsize.deb")
    machine.end()
"""
import os
import pathlib
import signal
import subprocess
import time

from world import Failure, Skipped, wait_for

# $1: an empty folder, $2: what /srv is to be. The rest is the command that the new root is for.
ROOT = """set -e
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/up" "$1/work" "$1/root"
mount -t overlay -o "lowerdir=/,upperdir=$1/up,workdir=$1/work" overlay "$1/root"
mount --rbind /dev "$1/root/dev"
mount -t proc proc "$1/root/proc"
mount --rbind /sys "$1/root/sys"
for dir in run tmp; do mount -t tmpfs -o mode=1755 tmpfs "$1/root/$dir"; done
chmod 1777 "$1/root/tmp"
mount --bind "$2" "$1/root/srv"
cd "$1/root"
shift 2
mkdir -p .old
pivot_root . .old
umount -l /.old
rmdir /.old
rm -rf /var/lib/hatsize /var/lib/hatsize-derp /var/lib/private/hatsize-derp /etc/hatsize /usr/sbin/policy-rc.d
"""

# systemd is told that it is a container, so it touches no clock and no settings of the kernel.
INIT = """
if mountpoint -q /sys/fs/cgroup; then umount -R -l /sys/fs/cgroup; fi
mount -t cgroup2 cgroup2 /sys/fs/cgroup
rm -rf /etc/systemd/system/* /lib/systemd/system/*.target.wants/*
cp -r /srv/units/. /etc/systemd/system/
exec env -i container=hatsize PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=first.target \\
    --log-target=console --show-status=no
"""


def cgroup_root():
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        if line.split()[2] == "cgroup2":
            return pathlib.Path(line.split()[1])
    raise Skipped("no unified control groups on this machine")


class Machine:
    def __init__(self, world, host, share):
        self.host, self.share, self.log = host, share, world.dir / "systemd.log"
        self.base = world.dir / "machine"
        self.base.mkdir()
        self.group = cgroup_root() / f"hz{world.tag}"
        (share / "units").mkdir(parents=True, exist_ok=True)
        (share / "units" / "first.target").write_text("[Unit]\nDescription=Nothing\n")
        self.proc = self.pid = None

    def start(self):
        if not os.path.exists("/lib/systemd/systemd"):
            raise Skipped("no systemd on this machine")
        try:
            self.group.mkdir()
        except OSError as err:
            raise Skipped(f"no control group of one's own: {err}") from None
        # Not by `ip netns exec`, whose /sys has no control groups.
        argv = ("sh", "-c", 'echo $$ >"$1"/cgroup.procs && shift && exec "$@"', "sh", self.group, "nsenter",
                f"--net=/run/netns/{self.host.ns}", "unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--fork",
                "--kill-child=SIGKILL", "sh", "-c", ROOT + INIT, "sh", self.base, self.share)
        with open(self.log, "ab") as out:
            self.proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.host.procs.append(self.proc)
        try:
            wait_for("systemd is up", self.is_up, timeout=60)
        except Failure as err:
            raise Skipped(f"systemd cannot be the first process here: {self.tail() or err}") from None

    def tail(self):
        return self.log.read_text(errors="replace")[-300:].strip()

    def is_up(self):
        if self.proc.poll() is not None:
            raise Skipped(f"systemd cannot be the first process here: {self.tail()}")
        children = pathlib.Path(f"/proc/{self.proc.pid}/task/{self.proc.pid}/children").read_text().split()
        if not children or pathlib.Path(f"/proc/{children[0]}/comm").read_text().strip() != "systemd":
            return False
        self.pid = children[0]
        return self.run("systemctl", "is-system-running", check=False).stdout.strip() in ("running", "degraded")

    def run(self, *argv, check=True, input=None):
        done = subprocess.run(["nsenter", f"--target={self.pid}", "--all", *map(str, argv)], capture_output=True,
                              text=True, timeout=120, input=input)
        if check and done.returncode != 0:
            raise Failure(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}{self.tail()}")
        return done

    def show(self, unit, name):
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

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
