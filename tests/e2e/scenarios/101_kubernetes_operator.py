"""Tailscale's Kubernetes operator itself, unchanged: it shows its OAuth client's secret, makes itself a key, comes up as a
node of its own, and makes and removes the proxy of an exposed Service. headscale.md 11 #119.

The cluster is none: tests/e2e/cluster keeps objects as a Kubernetes API server does and runs nothing. An official client
plays the proxy's pod, with the key that the operator made for it. Both programs are built by `scripts/clients kubernetes`,
which ./test does not do; skipped without.
"""
import base64
import json

from world import POLICY_IN_DATABASE, Failure, Host, built, wait_for

API = "http://127.0.0.1:6443"
KUBECONFIG = {"apiVersion": "v1", "kind": "Config", "current-context": "c",
              "clusters": [{"name": "c", "cluster": {"server": API}}], "users": [{"name": "u", "user": {}}],
              "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
SERVICE = {"apiVersion": "v1", "kind": "Service",
           "metadata": {"name": "web", "namespace": "default", "annotations": {"tailscale.com/expose": "true"}},
           "spec": {"type": "ClusterIP", "clusterIP": "10.43.0.7", "clusterIPs": ["10.43.0.7"],
                    "ports": [{"port": 80, "protocol": "TCP"}]}}


def run(world):
    operator, cluster = built("kubernetes", "k8s-operator"), built("kubernetes", "cluster")
    server = world.server(POLICY_IN_DATABASE)
    # What Tailscale's guide has in the policy: the operator's tag owns that of its proxies.
    server.policy({"tagOwners": {"tag:k8s-operator": [], "tag:k8s": ["tag:k8s-operator"]},
                   "acls": [{"action": "accept", "src": ["*"], "dst": ["*:*"]}]})
    oauth = server.json("oauth-clients", "create", "-s", "auth_keys", "-s", "devices:core", "-s", "services",
                        "-t", "tag:k8s-operator", "-d", "kubernetes")

    host, room = Host(world, "cluster"), world.dir / "cluster"
    room.mkdir()
    for name, text in (("id", oauth["id"]), ("secret", oauth["key"]), ("kubeconfig", json.dumps(KUBECONFIG))):
        (room / name).write_text(text)
    host.spawn(cluster, "127.0.0.1:6443", log=room / "cluster.log")

    def kube(method, path, body=None, check=True):
        kind = "merge-patch+json" if method == "PATCH" else "json"
        argv = ["curl", "-s", "--fail-with-body", "-X", method, "-H", f"content-type: application/{kind}", API + path]
        done = host.run(*argv, *(["-d", json.dumps(body)] if body else []), check=False)
        if done.returncode != 0 and check:
            raise Failure(f"{method} {path}: {done.stdout}")
        return json.loads(done.stdout) if done.returncode == 0 else None

    wait_for("the cluster answers", lambda: kube("GET", "/version"))
    kube("POST", "/api/v1/namespaces/default/services", SERVICE)
    host.spawn(operator, log=room / "operator.log", env={
        "OPERATOR_NAMESPACE": "tailscale", "OPERATOR_LOGIN_SERVER": server.url, "OPERATOR_LOGGING": "debug",
        "CLIENT_ID_FILE": str(room / "id"), "CLIENT_SECRET_FILE": str(room / "secret"), "KUBECONFIG": str(room / "kubeconfig"),
        "TS_NO_LOGS_NO_SUPPORT": "true", "HOME": str(room), "XDG_CONFIG_HOME": str(room)})
    try:
        check(world, server, kube)
    except Exception as err:
        words = (room / "operator.log").read_text(errors="replace").splitlines()[-60:]
        raise Failure(f"{err}\n--- the operator ---\n" + "\n".join(word[:300] for word in words)) from err


def check(world, server, kube):
    operator = wait_for("the operator is a node of its own and online",
                        lambda: next((n for n in server.nodes() if n["givenName"] == "tailscale-operator" and n["online"]), None), 60)
    if operator["tags"] != ["tag:k8s-operator"]:
        raise Failure(f"the operator is {operator}")

    def proxy_secret():
        items = kube("GET", "/api/v1/namespaces/tailscale/secrets?labelSelector=tailscale.com/parent-resource%3Dweb")["items"]
        return items[0] if items else None

    secret = wait_for("the operator made the proxy's secret", proxy_secret, 60)
    newest = max(name for name in secret["data"] if name.endswith(".hujson"))
    config = json.loads(base64.b64decode(secret["data"][newest]))
    if config["ServerURL"] != server.url:
        raise Failure(f"the proxy is to go to {config['ServerURL']}")
    wait_for("the operator made the proxy's set", lambda: kube(
        "GET", "/apis/apps/v1/namespaces/tailscale/statefulsets?labelSelector=tailscale.com/parent-resource%3Dweb")["items"])

    # The pod.
    proxy = world.client(config["Hostname"], up=False).up(config["AuthKey"])
    proxy.wait_running()
    node = server.node(config["Hostname"])
    if node["tags"] != ["tag:k8s"] or node["id"] == operator["id"]:
        raise Failure(f"the proxy is {node}")
    proxy.wait_peer("tailscale-operator")
    me = proxy.status()["Self"]
    facts = {"device_id": me["ID"], "device_fqdn": me["DNSName"], "device_ips": json.dumps(me["TailscaleIPs"])}
    kube("PATCH", f"/api/v1/namespaces/tailscale/secrets/{secret['metadata']['name']}",
         {"data": {name: base64.b64encode(text.encode()).decode() for name, text in facts.items()}})

    # No Service any more: the operator removes its device from the tailnet before it lets the Service go.
    kube("DELETE", "/api/v1/namespaces/default/services/web")
    wait_for("the Service is gone", lambda: kube("GET", "/api/v1/namespaces/default/services/web", check=False) is None, 60)
    if [n["givenName"] for n in server.nodes()] != ["tailscale-operator"]:
        raise Failure(f"left: {server.nodes()}")
