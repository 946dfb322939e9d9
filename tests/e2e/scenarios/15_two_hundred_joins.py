"""Two hundred simulated machines join at once beside a real one: all distinct, all visible to each other."""
from world import Failure, Host, wait_for


def run(world):
    server = world.server()
    alice = world.client("alice")
    crowd = Host(world, "crowd")
    key = server.auth_key("sim", "--reusable")
    bench = crowd.spawn(world.hatsize.parent / "hatsize-bench", "control", "--server", server.url, "--auth-key", key,
                        "--nodes", 200, "--beside", 1, "--phases", "change,churn,storm,verify,idle", "--changes", 5,
                        "--churn", 3, "--idle", 15, "--limit", 120, log=world.dir / "bench.log",
                        env=world.sanitizer_env(server.dir / "sanitizer"))
    wait_for("alice sees all two hundred", lambda: len(alice.peers()) == 200, 90, every=0.5)
    online = lambda: sum(p["Online"] for p in alice.peers().values())
    wait_for("alice sees them online", lambda: online() == 200, 20, every=0.5)
    bench.wait(150)
    text = (world.dir / "bench.log").read_text()
    if bench.returncode != 0:
        raise Failure(f"hatsize-bench: exit {bench.returncode}\n{text}")
    nodes = server.nodes()
    for what in ("givenName", "nodeKey", "machineKey"):
        if len({n[what] for n in nodes}) != 201:
            raise Failure(f"{what} is not distinct")
    if len({ip for n in nodes for ip in n["ipAddresses"]}) != 402:
        raise Failure("addresses are not distinct")
    wait_for("they are offline again", lambda: online() == 0, 30, every=0.5)
