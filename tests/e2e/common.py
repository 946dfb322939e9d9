"""What every scenario needs: failing, waiting, and what was got before."""
import concurrent.futures
import hashlib
import os
import pathlib
import shutil
import subprocess
import sys
import time


class Failure(Exception):
    """A scenario did not see what it must."""


class Broken(Failure):
    """One of our programs did what it never may."""


class Skipped(Exception):
    """This machine cannot show what the scenario is about."""


def sh(*argv, check=True, timeout=60, input=None):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, input=input)
    if check and done.returncode != 0:
        raise Failure(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def expect(what, holds, *shown):
    if not holds:
        raise Failure(f"{what}: " + " ".join(str(s)[:3000] for s in shown))


def wait_for(what, probe, timeout=30.0, every=0.1):
    """Waits until probe() is truthy and returns it; Failure naming `what` otherwise."""
    end = time.monotonic() + timeout
    last = None
    while True:
        try:
            value = probe()
            if value:
                return value
        except (Failure, subprocess.TimeoutExpired, OSError, ValueError, KeyError) as err:
            last = err
        if time.monotonic() > end:
            raise Failure(f"not within {timeout:g} s: {what}" + (f"\nlast: {last}" if last else ""))
        time.sleep(every)


def never(what, probe):
    """Failure naming `what` if probe() is truthy; the probe gives up by itself."""
    if probe():
        raise Failure(what)


def nevers(*cases):
    """never() for each (what, probe), all at a time: each waits for nothing to come."""
    with concurrent.futures.ThreadPoolExecutor(len(cases)) as pool:
        for (what, _), happened in list(zip(cases, pool.map(lambda case: case[1](), cases))):
            never(what, lambda: happened)


def cache():
    """Where what took long to get is kept from run to run."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return pathlib.Path(os.environ.get("HATSIZE_CACHE") or f"{base}/hatsize")


def built(kind, program):
    """The program that scripts/clients gave last (`scripts/clients KIND`); the scenario is skipped without it."""
    found = list(cache().glob(f"{kind}/*/{program}"))
    if not found:
        raise Skipped(f"no {program} was built (scripts/clients {kind})")
    return max(found, key=lambda path: path.stat().st_mtime)


def from_packages(name, wanted, program):
    """A program out of Python packages, pinned in the file `wanted` beside this one, in a virtual environment of its own
    that is made when it is not there yet; the scenario is skipped when it cannot be."""
    wanted = pathlib.Path(__file__).parent / wanted
    room = cache() / name / hashlib.sha256(wanted.read_bytes()).hexdigest()[:16]
    if not (room / "ready").exists():
        shutil.rmtree(room, ignore_errors=True)
        for argv in ([sys.executable, "-m", "venv", str(room)],
                     [str(room / "bin/pip"), "install", "-q", "--only-binary", ":all:", "-r", str(wanted)]):
            try:
                done = subprocess.run(argv, capture_output=True, text=True, timeout=240)
            except (OSError, subprocess.TimeoutExpired) as err:
                raise Skipped(f"{name} cannot be had: {err}") from None
            if done.returncode != 0:
                raise Skipped(f"{name} cannot be had: {done.stderr.strip()[-200:]}")
        (room / "ready").touch()
    return room / "bin" / program
