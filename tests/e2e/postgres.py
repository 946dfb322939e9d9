"""A PostgreSQL of a scenario's own: Unix socket only, as an unprivileged user, ended by its id."""
import glob
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from world import Failure


class Postgres:
    def __init__(self):
        found = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"), key=lambda p: int(p.split("/")[4]))
        self.bin = pathlib.Path(found[-1]).parent
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="hatsize-pg-"))
        self.data = self.dir / "data"
        self.proc = None
        user = next(u for u in pwd.getpwall() if u.pw_name in ("postgres", "nobody") and u.pw_uid > 0)
        self.who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        os.chown(self.dir, user.pw_uid, user.pw_gid)
        os.chmod(self.dir, 0o755)
        self.run("initdb", "-D", self.data, "-U", "hatsize", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
        self.start()
        self.sql("CREATE DATABASE hatsize", "postgres")

    def run(self, program, *argv):
        done = subprocess.run([str(self.bin / program), *map(str, argv)], capture_output=True, text=True, timeout=120,
                              cwd=self.dir, **self.who)
        if done.returncode != 0:
            raise Failure(f"{program}: {done.stdout}{done.stderr}")
        return done.stdout

    def config(self):
        return ("database:\n  type: postgres\n  postgres:\n"
                f"    host: {self.dir}\n    name: hatsize\n    user: hatsize\n    pass: not-asked\n")

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.proc = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", str(self.data), "-k", str(self.dir), "-c", "listen_addresses=",
                 "-c", "fsync=off"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir, **self.who)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                self.sql("SELECT 1", "postgres")
                return
            except Failure:
                time.sleep(0.1)
        raise Failure("PostgreSQL does not start")

    def stop(self, crash=False):
        if self.proc and self.proc.poll() is None:
            self.proc.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
            self.proc.wait(60)

    def sql(self, text, database="hatsize"):
        return self.run("psql", "-X", "-q", "-A", "-t", "-h", self.dir, "-U", "hatsize", "-d", database, "-c", text)

    def number(self, text):
        return int(self.sql(text).strip())

    def __enter__(self):
        return self

    def __exit__(self, *why):
        self.remove()

    def remove(self):
        self.stop(crash=True)
        shutil.rmtree(self.dir, ignore_errors=True)
