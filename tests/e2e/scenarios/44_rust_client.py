"""A machine made of tailscale-rs, Tailscale's own library for Rust: it joins by a key, serves and visits, both ways with
clients of three releases, and comes back as itself after an end. headscale.md 11 #120.

tailscale-rs 0.6.1 finds no way to its peers without a relay, and takes no relay whose certificate is pinned; so this relay's
is not looked at, which such a client does for tests only.
tests/e2e/rust is the machine; `scripts/clients rust` builds it, which ./test does not do: skipped without.
"""
from world import Failure, Host, built, relay_config, wait_for


def run(world):
    program = built("rust", "echo")
    relay = world.relay("relay1")
    config = relay_config(world, (910, [relay]))
    path = world.dir / "relays.yaml"
    path.write_text(path.read_text().replace(f"certname: {relay.pin}", "insecurefortests: true"))
    server = world.server(config)
    relay.start()
    clients = [world.client(f"c{path.name.replace('.', '-')}", path.name) for path in world.clients_dirs]
    host = Host(world, "rusty")
    folder = world.dir / "rusty"
    folder.mkdir()
    log = folder / "log"

    def start(*key):
        return host.spawn(program, folder / "keys.json", server.url, "rusty", *key, log=log)

    def serves():
        wait_for("the Rust machine is online", lambda: server.node("rusty")["online"], 60)
        ip = server.node("rusty")["ipAddresses"][0]
        for c in clients:
            c.wait_peer("rusty")
            wait_for(f"it serves {c.name}", lambda: c.ask_tcp(ip, 1234, "hello", 5) == "hello", 60)
            wait_for(f"it visits {c.name}", lambda: c.ask_tcp(ip, 1234, f"visit {c.ip4()}:7777 hello", 10) == "HELLO", 60)
        return server.node("rusty")["id"]

    try:
        for c in clients:
            c.serve_tcp()
        proc = start(server.auth_key("bob"))
        first = serves()
        host.end(proc)
        wait_for("it is seen to be gone", lambda: not server.node("rusty")["online"])
        start()
        if serves() != first:
            raise Failure("it came back as another one")
    except Failure as err:
        raise Failure(f"{err}\n--- the Rust machine ---\n{log.read_text(errors='replace')[-3000:]}") from err
