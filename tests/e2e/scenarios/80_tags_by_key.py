"""Tags of machines that join by key: the key's or an administrator's, never what the machine asks for."""
import json

from world import POLICY_IN_DATABASE, Failure, wait_for

POLICY = {
    "tagOwners": {"tag:owned": ["alice@"], "tag:second": ["alice@"], "tag:unowned": ["bob@"]},
    "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
}


def tags_key(server, *tags):
    return server.auth_key("alice", "--reusable", "--tags", ",".join(tags))


def refused(server, client, key, *tags):
    """The machine asks for tags with a key, and is told that it may not; whatever it was, it stays."""
    word = f"requested tags [{' '.join(tags)}] are invalid or not permitted"
    before, said = [(n["id"], n["tags"]) for n in server.nodes()], server.log.read_text().count(word)
    done = client.ts("up", f"--login-server={server.url}", f"--hostname={client.name}", f"--auth-key={key}",
                     f"--advertise-tags={','.join(tags)}", "--force-reauth", "--timeout=50s", check=False)
    # A client that was in may still think so when the answer comes, and then its exit status is 0.
    # One that was refused before may still say what it was told then.
    if not before and (done.returncode == 0 or "are invalid or not permitted" not in done.stdout + done.stderr):
        raise Failure(f"{client.name} asks for {tags}: {done.returncode} {done.stdout}{done.stderr}")
    wait_for(f"{client.name} is refused {tags}", lambda: server.log.read_text().count(word) > said)
    if [(n["id"], n["tags"]) for n in server.nodes()] != before:
        raise Failure(f"asking for {tags} changed something: {before} {server.nodes()}")


def again(client, key, *flags):
    """In by the key without asking; over again if a refusal of what was asked before comes in between."""
    wait_for(f"{client.name} is in", lambda: client.up(key, "--force-reauth", "--advertise-tags=", *flags), 60)


def has(server, client, *tags):
    """The server and the machine itself agree."""
    node = server.node(client.name)
    if node["tags"] != sorted(tags):
        raise Failure(f"{client.name} has {node['tags']}, not {tags}")
    owner = "tagged-devices" if tags else "alice"
    if node["user"]["name"] != owner:
        raise Failure(f"{client.name} belongs to {node['user']}, not {owner}")
    wait_for(f"{client.name} knows its tags {tags}",
             lambda: sorted(client.status()["Self"].get("Tags") or []) == sorted(tags), 10)


def announce(server, client, *tags):
    """The running machine says that it wants these tags, without logging in anew; that it did is seen by its host name."""
    name = f"{client.name}-{len(tags)}"
    body = json.dumps({"AdvertiseTags": tags, "AdvertiseTagsSet": True, "Hostname": name, "HostnameSet": True})
    client.host.run("curl", "-sf", "--unix-socket", client.socket, "-X", "PATCH", "-H", "Sec-Tailscale: localapi",
                    "-d", body, "http://local-tailscaled.sock/localapi/v0/prefs")
    wait_for(f"the server hears of {name}", lambda: server.node(client.name)["name"] == name, 20)


def admin_tags(server, client, *tags):
    server.cli("nodes", "tag", "--identifier", server.node(client.name)["id"], "--tags", ",".join(tags))


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.user("alice")
    server.user("bob")
    server.policy(POLICY)
    key = tags_key(server, "tag:owned")
    keyed = world.client("keyed", "1.102", up=False)
    refused(server, keyed, key, "tag:second")  # headscale.md 11 #43
    refused(server, keyed, key, "tag:owned")
    again(keyed, key)
    has(server, keyed, "tag:owned")  # headscale.md 11 #44

    # Logged in, it asks for more, or for another: by key, and just so. headscale.md 11 #45
    server.cli("nodes", "rename", "keyed", "--identifier", server.node("keyed")["id"])
    for tags in (("tag:owned", "tag:second"), ("tag:second",)):
        announce(server, keyed, *tags)
        has(server, keyed, "tag:owned")
        refused(server, keyed, key, *tags)
        again(keyed, key)
        has(server, keyed, "tag:owned")

    # The administrator's tags stay: headscale.md 11 #46, and #47: the machine cannot undo them.
    admin_tags(server, keyed, "tag:second")
    has(server, keyed, "tag:second")
    again(keyed, key)
    has(server, keyed, "tag:second")
    announce(server, keyed, "tag:owned")
    refused(server, keyed, key, "tag:owned")
    again(keyed, key)
    has(server, keyed, "tag:second")

    # A key without tags: headscale.md 11 #48 and #49.
    plain_key = server.auth_key("alice", "--reusable")
    plain = world.client("plain", "1.82", up=False)
    for tag in ("tag:owned", "tag:unowned", "tag:undefined"):
        refused(server, plain, plain_key, tag)
    again(plain, plain_key)
    has(server, plain)
    refused(server, plain, plain_key, "tag:owned")
    again(plain, plain_key)
    has(server, plain)

    # Tagged by the administrator, it cannot get rid of that: headscale.md 11 #50.
    id_before = server.node("plain")["id"]
    server.cli("nodes", "rename", "plain", "--identifier", id_before)
    admin_tags(server, plain, "tag:owned", "tag:second")
    has(server, plain, "tag:owned", "tag:second")
    plain.up(plain_key, "--reset")
    has(server, plain, "tag:owned", "tag:second")
    again(plain, plain_key, "--reset")
    has(server, plain, "tag:owned", "tag:second")
    # Nor of one of several: headscale.md 11 #51.
    announce(server, plain, "tag:owned")
    has(server, plain, "tag:owned", "tag:second")
    refused(server, plain, plain_key, "tag:owned")
    again(plain, plain_key)
    has(server, plain, "tag:owned", "tag:second")
    if server.node("plain")["id"] != id_before:
        raise Failure("it is another machine now")

    # A key of tags and nobody: headscale.md 11 #59.
    nobodys = server.json("preauthkeys", "create", "--tags", "tag:owned,tag:second", "--reusable")["key"]
    box = world.client("box", "1.90", up=False)
    refused(server, box, nobodys, "tag:owned")
    refused(server, box, nobodys, "tag:unowned")
    again(box, nobodys)
    has(server, box, "tag:owned", "tag:second")
    refused(server, box, nobodys, "tag:owned")
    if len(server.nodes()) != 3:
        raise Failure(f"other machines came to be: {server.nodes()}")
