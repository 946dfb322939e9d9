"""A router whose system forwards nothing: its client says so, and a webhook is told, once; of one that forwards, nothing."""
import importlib.util
import pathlib

from world import POLICY_IN_DATABASE, Failure, wait_for

spec = importlib.util.spec_from_file_location("hooks", pathlib.Path(__file__).with_name("68_webhooks.py"))
hooks = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hooks)

SUBNET = "subnetIPForwardingNotEnabled"


def forwarding(client, on):
    client.host.run("sysctl", "-qw", f"net.ipv4.ip_forward={on}", f"net.ipv6.conf.all.forwarding={on}")


def run(world):
    server = world.server(POLICY_IN_DATABASE)
    receiver = hooks.Receiver(world)
    receiver.start()
    secret = server.cli("webhooks", "create", receiver.url(), "--subscribe", "categoryDeviceMisconfigurations").stdout.strip()

    def told():
        return [(event["type"], event["data"]["deviceName"].split(".")[0]) for event in receiver.events(secret)
                if event["type"] != "test"]

    # One that is well and one that is not.
    good, bad = world.client("good", up=False), world.client("bad", up=False)
    forwarding(good, 1)
    forwarding(bad, 0)
    for client in (good, bad):
        client.up(server.auth_key("alice"), "--advertise-routes=10.9.0.0/24")
    wait_for("the router is told of", lambda: (SUBNET, "bad") in told())
    server.cli("webhooks", "test", server.json("webhooks", "list")[0]["endpointId"])
    wait_for("what came after it", lambda: "test" in [event["type"] for event in receiver.events(secret)])
    if told() != [(SUBNET, "bad")]:
        raise Failure(f"other events: {told()}")
    event = receiver.events(secret)[0]
    if "IP forwarding is not enabled" not in event["message"] or event["data"]["managedBy"] != "alice":
        raise Failure(f"another event: {event}")
