"""Settings that change under a running server: extra records, relay maps from a URL, SIGHUP; headscale.md 11 #102."""
import json
import os
import signal
import types

from authority import Held
from world import Failure, Host, certificate, never, wait_for

RECORDS = "dns:\n  base_domain: example.test\n  extra_records_path: {records}\n"


def records(*ips):
    return json.dumps([{"name": f"r{i}.example.test", "type": "A", "value": ip} for i, ip in enumerate(ips)])


def relay_map(region):
    return json.dumps({"Regions": {str(region): {
        "RegionID": region, "RegionCode": f"r{region}", "RegionName": f"Region {region}", "Latitude": 1.5,
        "Nodes": [{"Name": f"{region}a", "RegionID": region, "HostName": f"d{region}.test", "DERPPort": 443}]}}})


def run(world):
    path = world.dir / "records.json"
    path.write_text(records("100.64.1.1"))
    maps = Host(world, "maps")
    folder = world.dir / "maps"
    folder.mkdir()
    (folder / "map.json").write_text(relay_map(951))
    maps.spawn("python3", "-m", "http.server", "-d", folder, "8000", log=world.dir / "maps.log")
    url = f"http://{maps.ip}:8000/map.json"
    wait_for("maps are served", lambda: maps.run("curl", "-sf", "-o", "/dev/null", url, check=False).returncode == 0)
    derp = "derp:\n  urls:\n    - {url}\n  auto_update_enabled: true\n  update_frequency: {every}\n"
    server = world.server(RECORDS.format(records=path) + derp.format(url=url, every="1s"))
    alice = world.client("alice")

    def says(name, *ips):
        wait_for(f"{name} is {ips}", lambda: alice.resolve(name) == list(ips), 20, every=0.2)

    def regions():
        return set(alice.netmap()["DERPMap"]["Regions"])

    # Each way of writing a file is seen (headscale.md 11 #102).
    says("r0.example.test", "100.64.1.1")
    path.write_text(records("100.64.1.2"))  # in place
    says("r0.example.test", "100.64.1.2")
    other = world.dir / "other.json"
    other.write_text(records("100.64.1.3"))
    os.rename(other, path)  # atomic
    says("r0.example.test", "100.64.1.3")
    other.write_text(records("100.64.1.4", "100.64.2.4"))
    world_copy = other.read_bytes()
    with open(path, "wb") as out:  # a copy
        out.write(world_copy)
    says("r1.example.test", "100.64.2.4")
    with open(path, "wb", buffering=0) as out:  # as through a pipe, in parts: half a file changes nothing
        text = records("100.64.1.5", "100.64.2.5").encode()
        out.write(text[:30])
        wait_for("half a file is complained about",
                 lambda: "the DNS records stay as they are" in server.log.read_text(errors="replace"))
        if alice.resolve("r1.example.test") != ["100.64.2.4"]:
            raise Failure("half a file took records away")
        out.write(text[30:])
    says("r1.example.test", "100.64.2.5")
    path.unlink()  # gone: what it said stays
    wait_for("its going is noticed", lambda: "what it said last stays" in server.log.read_text(errors="replace"))
    if alice.resolve("r1.example.test") != ["100.64.2.5"]:
        raise Failure("deleting the file took records away")
    path.write_text(records("100.64.1.6"))  # and made anew
    says("r0.example.test", "100.64.1.6")
    says("r1.example.test")

    # Relay maps from elsewhere, asked for again; a bad one leaves the last good one.
    wait_for("the map is there", lambda: {"951", "999"} <= regions())
    (folder / "map.json").write_text(relay_map(952))
    wait_for("the new map is there", lambda: "952" in regions() and "951" not in regions())
    (folder / "map.json").write_text("<html>")
    wait_for("the bad map is noticed", lambda: "a relay map is no good" in server.log.read_text(errors="replace"))
    if "952" not in regions():
        raise Failure("a bad map took regions away")

    # SIGHUP: the same connections go on with other settings; what waits is said; errors change nothing.
    channels = server.log.read_text(errors="replace").count("registered node")
    server.configure(RECORDS.format(records=path) + "  search_domains: [other.test]\nlisten_addr: 0.0.0.0:8090\n")
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("search domains have changed", lambda: "other.test" in alice.netmap()["DNS"].get("Domains", []))
    wait_for("the map from elsewhere is gone", lambda: regions() == {"999"})
    text = server.log.read_text(errors="replace")
    if "this setting has changed and waits for a restart key=listen_addr" not in text:
        raise Failure("the changed port is not spoken of")
    server.configure("dns:\n  base_domain: '...'\n")
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("the error is told", lambda: "the configuration stays as it is" in server.log.read_text(errors="replace"))
    never("a broken file took settings away", lambda: alice.resolve("r0.example.test") != ["100.64.1.6"])
    if server.log.read_text(errors="replace").count("registered node") != channels:
        raise Failure("somebody had to come again")

    certificate_files(world, server)


def certificate_files(world, server):
    """Read again at SIGHUP: new connections get the new one, those that are there go on."""
    folder = world.dir / "tls"
    folder.mkdir()

    def make(name):
        certificate(server.host, folder / f"{name}.crt", folder / f"{name}.key", name, "DNS:vpn.test")

    def use(name):
        for kind in ("crt", "key"):
            (folder / f"used.{kind}").write_bytes((folder / f"{name}.{kind}").read_bytes())

    def served(name):
        done = server.host.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", folder / f"{name}.crt",
                               "--resolve", "vpn.test:8080:127.0.0.1", "https://vpn.test:8080/health", check=False)
        return done.stdout == "200"

    make("first")
    make("second")
    use("first")
    server.stop()
    server.configure(f"tls_cert_path: {folder}/used.crt\ntls_key_path: {folder}/used.key\n")
    server.start()
    if not served("first"):
        raise Failure("the given certificate is not served")
    who = types.SimpleNamespace(host=server.host, dir=folder, root=folder / "first.crt")
    held = Held(who, "vpn.test", "127.0.0.1", "/health", port=8080)
    use("second")
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("the second certificate is served", lambda: served("second"))
    held.check()
    (folder / "used.key").write_text("no key")
    os.kill(server.pid(), signal.SIGHUP)
    wait_for("a bad key is told", lambda: "the certificate stays as it is" in server.log.read_text(errors="replace"))
    if not served("second"):
        raise Failure("a bad key took the certificate away")
    held.check()
    done = server.cli("configtest", check=False)
    if done.returncode != 1 or "tls_cert_path, tls_key_path: " not in done.stderr:
        raise Failure(f"configtest takes a bad key: {done.returncode} {done.stderr}")
    use("first")
    server.cli("configtest")
