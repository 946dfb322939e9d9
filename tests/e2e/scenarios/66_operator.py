"""The calls of Tailscale's Kubernetes operator, made by the Go libraries that it is made of, with a real machine as its proxy.

headscale.md 11 #119. The operator itself wants a cluster. The program is built from tests/e2e/operator, pinned by its go.sum;
where it cannot be built the scenario is skipped.
"""
import hashlib
import os
import pathlib
import shutil
import subprocess

from world import POLICY_IN_DATABASE, Failure, Skipped, wait_for


def operator():
    """The program; built when it is not there yet."""
    source = pathlib.Path(__file__).parent.parent / "operator"
    texts = b"".join((source / name).read_bytes() for name in ("go.mod", "go.sum", "main.go"))
    cache = os.environ.get("HATSIZE_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "hatsize")
    program = pathlib.Path(cache) / "operator" / hashlib.sha256(texts).hexdigest()[:16] / "operator"
    if program.exists():
        return program
    go = shutil.which("go") or shutil.which("/usr/local/go/bin/go") or shutil.which("/usr/lib/go/bin/go")
    if not go:
        raise Skipped("there is no Go to build tests/e2e/operator with")
    program.parent.mkdir(parents=True, exist_ok=True)
    partial = program.with_suffix(f".{os.getpid()}")
    try:
        done = subprocess.run([go, "build", "-mod=readonly", "-trimpath", "-o", str(partial), "."], cwd=source, text=True,
                              capture_output=True, timeout=600, env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""})
    except (OSError, subprocess.TimeoutExpired) as err:
        raise Skipped(f"tests/e2e/operator cannot be built: {err}") from None
    if done.returncode != 0:
        raise Skipped(f"tests/e2e/operator cannot be built: {done.stderr.strip()[-300:]}")
    partial.rename(program)
    return program


def run(world):
    program = operator()
    server = world.server(POLICY_IN_DATABASE)
    client = server.json("oauth-clients", "create", "-s", "auth_keys", "-s", "devices:core", "-s", "services",
                         "-t", "tag:k8s-operator", "-d", "kubernetes")

    def ask(*argv, check=True, secret=client["key"]):
        return server.host.run(program, server.url, client["id"], secret, *argv, check=check)

    # What Tailscale's guide has in the policy: the operator's tag owns that of its proxies.
    server.policy({"tagOwners": {"tag:k8s-operator": [], "tag:k8s": ["tag:k8s-operator"], "tag:web": []},
                   "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
    key = ask("key", "tag:k8s").stdout.strip()
    for tag, why in (("tag:web", "may not give"), ("tag:none", "may not give")):
        done = ask("key", tag, check=False)
        if done.returncode == 0 or why not in done.stderr:
            raise Failure(f"a key for {tag}: {done}")
    proxy = world.client("proxy", up=False).up(key)
    proxy.wait_running()
    if ask("tags", "proxy").stdout.split() != ["tag:k8s"]:
        raise Failure(f"the device: {ask('tags', 'proxy')}")

    if ask("scopes", "devices:core:read", "services").stdout.split() != ["devices:core:read", "services"]:
        raise Failure("a token of less")
    for argv, secret, why in ((("scopes", "policy_file"), client["key"], "invalid_scope"),
                              (("tags", "proxy"), client["key"][:-1] + "x", "invalid_client")):
        done = ask(*argv, check=False, secret=secret)
        if done.returncode == 0 or why not in done.stderr:
            raise Failure(f"{argv}: {done}, not {why}")

    ask("delete", "proxy")
    wait_for("the proxy's node is gone", lambda: not server.nodes())
    server.cli("oauth-clients", "delete", "-i", client["id"])
    done = ask("key", "tag:k8s", check=False)
    if done.returncode == 0 or "invalid_client" not in done.stderr:
        raise Failure(f"after the client went: {done}")
