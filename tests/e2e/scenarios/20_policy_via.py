"""`via`: two routers of one subnet, and the policy says who goes through which."""
from world import POLICY_IN_DATABASE, Client, Failure, Host, never, wait_for

LAN = "10.88.0"
WHO = ("import socket\ns=socket.create_server(('0.0.0.0',7777))\n"
       "while True:\n  c,a=s.accept()\n  c.recv(100)\n  c.sendall(a[0].encode());c.close()\n")

POLICY = {
    "tagOwners": {"tag:east": ["alice@"], "tag:west": ["alice@"]},
    "autoApprovers": {"routes": {f"{LAN}.0/24": ["tag:east", "tag:west"]}},
    "grants": [
        {"src": ["alice@"], "dst": [f"{LAN}.0/24"], "ip": ["tcp:7777"], "via": ["tag:east"]},
        {"src": ["bob@"], "dst": [f"{LAN}.0/24"], "ip": ["*"], "via": ["tag:west"]},
    ],
}


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    server.policy(POLICY)
    lan = world.network("lan")
    inside = Host(world, "printer", net=LAN, bridge=lan)
    inside.spawn("python3", "-c", WHO, log=world.dir / "printer.log")
    legs = {}
    for name, version in (("east", "1.90"), ("west", "1.102")):
        host = Host(world, name)
        legs[name] = host.add_leg(lan, LAN)
        host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        router = Client(world, name, version, host=host)
        world.clients.append(router)
        router.up(server.tags_key(f"tag:{name}"), f"--advertise-routes={LAN}.0/24")
        wait_for(f"the policy approves {name}'s route",
                 lambda: f"{LAN}.0/24" in server.node(name)["approvedRoutes"])
    alice = world.client("alice", "1.82", flags=("--accept-routes",))
    bob = world.client("bob", "1.102", user="bob", flags=("--accept-routes",))

    def goes_through(client, name):
        wait_for(f"{client.name} goes through {name}",
                 lambda: client.ask_tcp(inside.ip, timeout=2) == legs[name], 20)

    # headscale.md 11 #81
    goes_through(alice, "east")
    goes_through(bob, "west")
    never("alice pings by a TCP rule's router a port it has not", lambda: alice.ask_tcp(inside.ip, 22, timeout=2))
    # The routers are swapped under way.
    for grant, tag in zip(POLICY["grants"], ("tag:west", "tag:east")):
        grant["via"] = [tag]
    server.policy(POLICY)
    goes_through(alice, "west")
    goes_through(bob, "east")
    # Nothing is left when nobody is named.
    POLICY["grants"] = []
    server.policy(POLICY)
    for c in (alice, bob):
        wait_for(f"{c.name} sees nobody", lambda: not c.peers(), 5)
        if c.ask_tcp(inside.ip, timeout=2):
            raise Failure(f"{c.name} still reaches the subnet")
