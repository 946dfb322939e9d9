#!/usr/bin/env python3
"""Runs the end-to-end scenarios in their order and closes with `N passed, N failed, N skipped`.

    tests/e2e/run.py --hatsize build/src/hatsize --clients DIR... [NAME...]

A NAME picks the scenarios whose file name contains it. Needs root (network namespaces, TUN devices).
"""
import argparse
import glob
import importlib.util
import os
import pathlib
import shutil
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from world import Broken, Skipped, World, cache  # noqa: E402


def reason_to_skip(args):
    if os.geteuid() != 0:
        return "needs root for network namespaces"
    if not os.path.exists("/dev/net/tun"):
        return "no TUN devices on this machine (/dev/net/tun)"
    for program in ("ip", "nft", "ping", "dig", "nsenter"):
        if not shutil.which(program):
            return f"no program {program}"
    if not args.clients:
        return "no Tailscale clients were given"
    return None


def find(pattern):
    """What scripts/clients gave, the newest version of it; empty without."""
    found = sorted(cache().glob(pattern))
    return str(found[-1]) if found else ""


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Trouble:
    """What went wrong; `is_ours`: for certain of our programs' doing, whatever the machine was busy with."""

    def __init__(self, text, is_ours):
        self.text, self.is_ours = text, is_ours


def run_one(args, module):
    """None: it passed; why it was skipped; or Trouble."""
    world = World(args.hatsize, args.clients, keep=args.keep, pebble=args.pebble, oidc=args.oidc)
    world.headscale = args.headscale
    try:
        module.run(world)
        if world.the_server:
            world.the_server.stop()
            world.check_server()
        return None
    except KeyboardInterrupt:
        raise
    except Skipped as why:
        return why
    except BaseException as err:
        return Trouble(traceback.format_exc() + world.explain(), isinstance(err, Broken) or world.broke())
    finally:
        world.remove()


def take(share, scenario):
    """Whether nobody else has it; then nobody else gets it."""
    try:
        os.mkdir(os.path.join(share, scenario))
    except FileExistsError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hatsize", required=True)
    parser.add_argument("--clients", nargs="*", default=[])
    parser.add_argument("--pebble", default=find("pebble/*/pebble"), help="an ACME server (scripts/clients pebble)")
    parser.add_argument("--oidc", default=os.path.dirname(find("oidc/*/ready")), help="an identity provider (scripts/clients oidc)")
    parser.add_argument("--headscale", default=find("headscale/*/headscale"), help="a headscale (scripts/clients headscale)")
    parser.add_argument("--share", help="a folder: of those who run beside each other with the same one, each scenario is run "
                        "by the one who comes to it first")
    parser.add_argument("--again", help="a file for the names of scenarios that failed by nothing that our programs did for "
                        "certain: they do not count, and are to be run once more by themselves")
    parser.add_argument("--keep", action="store_true", help="leave the scenario's folder")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    here = pathlib.Path(__file__).parent / "scenarios"
    paths = [p for p in sorted(here.glob("*.py")) if not args.names or any(n in p.stem for n in args.names)]
    skip = reason_to_skip(args)
    passed = failed = skipped = 0
    for path in paths:
        if args.share and not take(args.share, path.stem):
            continue
        name = path.stem.split("_", 1)[1].replace("_", " ")
        module = load(path)
        why = skip or (getattr(module, "NEEDS_PEBBLE", False) and not args.pebble and "no pebble was given") or (
            getattr(module, "NEEDS_OIDC", False) and not args.oidc and "no identity provider was given") or (
            getattr(module, "NEEDS_HEADSCALE", False) and not args.headscale and "no headscale was given") or (
            getattr(module, "NEEDS_POSTGRES", False) and not glob.glob("/usr/lib/postgresql/*/bin/initdb")
            and "no PostgreSQL on this machine (Debian: postgresql)")
        if why:
            print(f"SKIP e2e: {name}: {why}")
            skipped += 1
            continue
        start = time.monotonic()
        trouble = run_one(args, module)
        took = time.monotonic() - start
        if isinstance(trouble, Skipped):
            print(f"SKIP e2e: {name}: {trouble}", flush=True)
            skipped += 1
        elif trouble and args.again and not trouble.is_ours:
            with open(args.again, "a") as again:
                again.write(f"{path.stem}\n")
            print(f"once more, by itself, at the end: e2e: {name} ({took:.1f} s)\n{trouble.text}", flush=True)
        elif trouble:
            failed += 1
            print(f"FAIL e2e: {name} ({took:.1f} s)\n{trouble.text}", flush=True)
        else:
            passed += 1
            print(f"ok   e2e: {name} ({took:.1f} s)", flush=True)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
