"""Tags of machines that somebody lets in by name: those the person owns, changed by the next log-in or an administrator."""
import json
import re

from world import POLICY_IN_DATABASE, Failure, wait_for

POLICY = {
    "tagOwners": {"tag:owned": ["alice@"], "tag:second": ["alice@"], "tag:unowned": ["bob@"]},
    "grants": [{"src": ["*"], "dst": ["*"], "ip": ["*"]}],
}


class Login:
    """`tailscale up` that waits for approval."""

    def __init__(self, server, client, *flags):
        self.server, self.client = server, client
        self.log = client.dir / "ts.log"
        self.log.write_text("")
        self.up = client.spawn_ts("up", f"--login-server={server.url}", f"--hostname={client.name}", "--timeout=60s", *flags)
        self.auth_id = wait_for("tailscale up shows a URL",
                                lambda: re.search(rf"{server.url}/register/(\S+)", self.log.read_text())).group(1)

    def approve(self, user, check=True):
        return self.server.cli("auth", "register", "--auth-id", self.auth_id, "--user", user, check=check)

    def let_in(self, user="alice"):
        self.approve(user)
        wait_for("tailscale up ends", lambda: self.up.poll() is not None)
        if self.up.returncode != 0:
            raise Failure(f"tailscale up: {self.log.read_text()}")

    def give_up(self):
        self.client.host.end(self.up)


def curl(server, key, method, path, body):
    done = server.host.run("curl", "-s", "-X", method, "-w", "\n%{http_code}", "-H", f"Authorization: Bearer {key}",
                           "-d", json.dumps(body), f"{server.url}{path}")
    return done.stdout.rsplit("\n", 1)


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    for name in ("alice", "bob"):
        server.user(name)
    server.policy(POLICY)
    watcher = world.client("watcher", "1.90", user="bob")

    def has(client, *tags, owner="alice"):
        """The server, the machine and a peer of it agree."""
        node = server.node(client.name)
        if (node["tags"], node["user"]["name"]) != (sorted(tags), "tagged-devices" if tags else owner):
            raise Failure(f"{client.name} has {node['tags']} and belongs to {node['user']}")
        for who, see in ((client, lambda: client.status()["Self"]), (watcher, lambda: watcher.peer(client.name))):
            wait_for(f"{who.name} sees {client.name} with {tags}", lambda: sorted(see().get("Tags") or []) == sorted(tags), 10)

    # A tag that she owns: headscale.md 11 #52.
    web = world.client("web", "1.102", up=False)
    Login(server, web, "--advertise-tags=tag:owned").let_in()
    has(web, "tag:owned")
    was = server.node("web")
    if was["expiry"]:
        raise Failure(f"a tagged machine expires: {was}")

    # Tags that are not hers, or nobody's: headscale.md 11 #53.
    other = world.client("other", "1.82", up=False)
    for tags in ("tag:nope", "tag:unowned", "tag:owned,tag:unowned"):
        login = Login(server, other, f"--advertise-tags={tags}", "--force-reauth")
        done = login.approve("alice", check=False)
        bad = tags.rsplit(",", 1)[-1]
        if done.returncode == 0 or f"requested tags [{bad}] are invalid or not permitted" not in done.stderr:
            raise Failure(f"{tags}: {done.returncode} {done.stdout}{done.stderr}")
        if {n["givenName"] for n in server.nodes()} != {"watcher", "web"}:
            raise Failure(f"{tags} let it in: {server.nodes()}")
        login.give_up()
    Login(server, other, "--advertise-tags=", "--force-reauth").let_in()
    has(other)

    # More tags and fewer, by logging in anew and no other way: headscale.md 11 #54.
    for before, after in ((["tag:owned"], ["tag:owned", "tag:second"]), (["tag:owned", "tag:second"], ["tag:second"])):
        web.ts("up", f"--login-server={server.url}", "--hostname=web", f"--advertise-tags={','.join(after)}", "--timeout=50s")
        has(web, *before)
        login = Login(server, web, f"--advertise-tags={','.join(after)}", "--force-reauth")
        has(web, *before)
        login.let_in()
        has(web, *after)
        if server.node("web")["id"] != was["id"]:
            raise Failure("it is another machine now")

    # What an administrator sets is seen at once, by the machine and by others: headscale.md 11 #57.
    for tags in (["tag:owned"], ["tag:unowned"], ["tag:second", "tag:unowned"]):
        server.cli("nodes", "tag", "--identifier", was["id"], "--tags", ",".join(tags))
        has(web, *tags)
    # Her machine has a tag that is not hers to give, but none that the policy does not know: headscale.md 11 #55.
    # Not all away, none that is malformed, by command and by REST: headscale.md 11 #56.
    key = server.cli("apikeys", "create").stdout.strip()
    for tags in (["tag:undefined"], [], [""], ["web"], ["tag:"], ["tag:Ü"], ["tag:owned", "nope"]):
        done = server.cli("nodes", "tag", "--identifier", was["id"], "--tags", ",".join(tags), check=False)
        if done.returncode == 0:
            raise Failure(f"the command took {tags}")
        text, status = curl(server, key, "POST", f"/api/v1/node/{was['id']}/tags", {"tags": tags})
        if status != "400":
            raise Failure(f"REST took {tags}: {status} {text}")
    has(web, "tag:second", "tag:unowned")

    # Nor can the machine, without another log-in: headscale.md 11 #47.
    for tags in ("tag:second", ""):
        web.ts("up", f"--login-server={server.url}", "--hostname=web", f"--advertise-tags={tags}", "--timeout=50s")
        has(web, "tag:second", "tag:unowned")

    # She takes it back, tags and all: headscale.md 11 #58.
    Login(server, web, "--advertise-tags=", "--force-reauth").let_in()
    has(web)
    now = server.node("web")
    if (now["id"], now["ipAddresses"]) != (was["id"], was["ipAddresses"]):
        raise Failure(f"it is another machine now: {was} {now}")

    # One that came by a key of tags becomes somebody's by approval: headscale.md 11 #60.
    box = world.client("box", "1.90", up=False).up(server.tags_key("tag:owned"))
    has(box, "tag:owned")
    was = server.node("box")
    Login(server, box, "--force-reauth").let_in("bob")
    has(box, owner="bob")
    now = server.node("box")
    if (now["id"], now["ipAddresses"]) != (was["id"], was["ipAddresses"]):
        raise Failure(f"it is another machine now: {was} {now}")
    watcher.wait_ping(box.ip4())
    watcher.wait_ping(web.ip4())
