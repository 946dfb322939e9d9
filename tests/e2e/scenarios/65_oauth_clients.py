"""OAuth clients: made by the command line, exchanged for tokens, used by a machine; and machines' own ID tokens.

headscale.md 11 #115, and #119 as far as plain HTTP shows it. The signature of an ID token is checked by openssl.
"""
import base64
import json
import time
import urllib.parse

from world import Failure, wait_for

# Everything of a public key on P-256 (SubjectPublicKeyInfo) before the point's coordinates.
P256_HEAD = bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004")


class Api:
    def __init__(self, server):
        self.server = server

    def ask(self, method, path, *more, token=None, body=None):
        """(status, decoded body)"""
        flags = ["-s", "-m", "30", "-w", "\n%{http_code}", "-X", method, *more]
        if token:
            flags += ["-H", f"Authorization: Bearer {token}"]
        if body is not None:
            flags += ["-H", "content-type: application/json", "--data-binary", json.dumps(body)]
        text, _, status = self.server.host.run("curl", *flags, self.server.url + path).stdout.rpartition("\n")
        return int(status), json.loads(text) if text.strip() else None

    def must(self, status, method, path, *more, **named):
        got, answer = self.ask(method, path, *more, **named)
        if got != status:
            raise Failure(f"{method} {path}: {got}, not {status}: {answer}")
        return answer

    def token(self, fields, *flags, status=200):
        return self.must(status, "POST", "/api/v2/oauth/token", *flags, "--data", urllib.parse.urlencode(fields))


def commands(server):
    """What `hatsize oauth-clients` says; the client that stays."""
    done = server.cli("oauth-clients", "create", "--scope", "devices:core", check=False)
    if done.returncode == 0 or "tags are required" not in done.stderr:
        raise Failure(f"a client without tags: {done}")
    done = server.cli("oauth-clients", "create", check=False)
    if done.returncode == 0 or "at least one --scope is required" not in done.stderr:
        raise Failure(f"a client without scopes: {done}")
    text = server.cli("oauth", "c", "-s", "users:read", "-d", "short-lived").stdout
    if "Secret (shown once, store it now): hskey-client-" not in text:
        raise Failure(f"no secret is shown: {text}")
    gone = text.split()[2]
    client = server.json("oauth-clients", "create", "-s", "auth_keys", "-s", "devices:core", "-t", "tag:k8s", "-d", "operator")
    listed = server.cli("oauth-clients", "list").stdout
    if client["id"] not in listed or client["key"][26:] in listed or "operator" not in listed:
        raise Failure(f"the list: {listed}")
    server.cli("oauth-clients", "delete", "-i", gone)
    if [c["id"] for c in server.json("oauthclients", "ls")] != [client["id"]]:
        raise Failure(f"after deleting {gone}: {server.json('oauthclients', 'ls')}")
    return client


def tokens(server, api, client):
    """As programs get them; the one that stays."""
    secret = client["key"]
    api.token({"client_secret": secret[:-1] + ("0" if secret[-1] != "0" else "1")}, status=401)
    api.token({"client_secret": secret, "scope": "policy_file"}, status=400)
    basic = api.token({"grant_type": "client_credentials"}, "-u", f"{client['id']}:{secret}")
    if basic["expires_in"] != 3600 or basic["token_type"] != "Bearer":
        raise Failure(f"a token: {basic}")
    token = api.token({"client_id": "some-client-id", "client_secret": secret})["access_token"]
    api.must(401, "GET", "/api/v1/node", token=token)
    api.must(403, "GET", "/api/v2/tailnet/-/users", token=token)
    api.must(403, "POST", "/api/v2/tailnet/-/keys", token=token, body={})
    # Go's oauth2 keeps a token until it ends, whatever happens to the server.
    server.stop()
    server.start()
    api.must(200, "GET", "/api/v2/tailnet/-/devices", token=token)
    return token


def machine(world, server, api, token):
    """As the operator does it: a tagged key, a machine, its device, and that gone."""
    create = {"reusable": False, "ephemeral": False, "preauthorized": True, "tags": ["tag:k8s"]}
    key = api.must(200, "POST", "/api/v2/tailnet/-/keys", token=token,
                   body={"capabilities": {"devices": {"create": create}}, "expirySeconds": 600})
    proxy = world.client("proxy", up=False).up(key["key"])
    proxy.wait_running()
    devices = api.must(200, "GET", "/api/v2/tailnet/-/devices", token=token)["devices"]
    if [d["tags"] for d in devices] != [["tag:k8s"]]:
        raise Failure(f"devices: {devices}")
    if not api.must(200, "GET", f"/api/v2/tailnet/-/keys/{key['id']}", token=token)["invalid"]:
        raise Failure("a key for one is still good")
    return proxy, devices[0]


def decoded(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def der(signature):
    """Two numbers side by side as ASN.1 has them."""
    def number(n):
        raw = n.to_bytes((n.bit_length() // 8) + 1, "big")
        return b"\x02" + bytes([len(raw)]) + raw
    body = number(int.from_bytes(signature[:32], "big")) + number(int.from_bytes(signature[32:], "big"))
    return b"\x30" + bytes([len(body)]) + body


def verified(server, directory, jwt):
    """The claims, if a key of the issuer signed them; openssl says so."""
    header, claims, signature = jwt.split(".")
    head = json.loads(decoded(header))
    issuer = json.loads(decoded(claims))["iss"]
    known = json.loads(server.host.run("curl", "-s", f"{issuer}/.well-known/openid-configuration").stdout)
    if known["issuer"] != issuer or head["alg"] not in known["id_token_signing_alg_values_supported"]:
        raise Failure(f"the issuer's document: {known}")
    keys = json.loads(server.host.run("curl", "-s", known["jwks_uri"]).stdout)["keys"]
    key = next(k for k in keys if k["kid"] == head["kid"])
    (directory / "key.der").write_bytes(P256_HEAD + decoded(key["x"]) + decoded(key["y"]))
    (directory / "signature").write_bytes(der(decoded(signature)))
    (directory / "text").write_text(f"{header}.{claims}")
    done = server.host.run("openssl", "dgst", "-sha256", "-verify", directory / "key.der", "-keyform", "DER", "-signature",
                           directory / "signature", directory / "text", check=False)
    if "Verified OK" not in done.stdout:
        raise Failure(f"openssl says {done}")
    (directory / "text").write_text(f"{header}.{claims[:-2]}AA")
    if server.host.run("openssl", "dgst", "-sha256", "-verify", directory / "key.der", "-keyform", "DER", "-signature",
                       directory / "signature", directory / "text", check=False).returncode == 0:
        raise Failure("other claims are signed, too")
    return json.loads(decoded(claims))


def id_token(client):
    # Clients still call it work in progress.
    return client.host.run("env", "TAILSCALE_USE_WIP_CODE=1", client.bin / "tailscale", f"--socket={client.socket}",
                           "id-token", "sts.example.com").stdout.strip()


def id_tokens(world, server, proxy):
    """Who a machine is, by the server's word."""
    alice = world.client("alice")
    alice.wait_running()
    claims = verified(server, world.dir, id_token(alice))
    node = server.node("alice")
    want = {"aud": "sts.example.com", "iss": server.url, "nid": int(node["id"]), "key": node["nodeKey"],
            "sub": claims["node"], "uid": int(node["user"]["id"])}
    got = {name: claims.get(name) for name in want}
    if got != want or not claims["sub"].startswith("alice."):
        raise Failure(f"claims: {claims}, wanted {want}")
    if not claims["user"].endswith(":alice") or "tags" in claims:
        raise Failure(f"the owner: {claims}")
    if sorted(a.partition("/")[0] for a in claims["addresses"]) != sorted(node["ipAddresses"]):
        raise Failure(f"addresses: {claims}")
    if not claims["nbf"] <= time.time() + 5 or not 0 < claims["exp"] - claims["iat"] <= 3600:
        raise Failure(f"times: {claims}")
    claims = verified(server, world.dir, id_token(proxy))
    if "user" in claims or [tag.partition(":")[2] for tag in claims["tags"]] != ["tag:k8s"]:
        raise Failure(f"a tagged machine: {claims}")


def run(world):
    server = world.server()
    api = Api(server)
    client = commands(server)
    token = tokens(server, api, client)
    proxy, device = machine(world, server, api, token)
    id_tokens(world, server, proxy)

    api.must(200, "DELETE", f"/api/v2/device/{device['nodeId']}", token=token)
    wait_for("the machine is gone", lambda: [n["givenName"] for n in server.nodes()] == ["alice"])
    server.cli("oauth-clients", "delete", "--id", client["id"])
    api.must(401, "GET", "/api/v2/tailnet/-/devices", token=token)
    api.token({"client_secret": client["key"]}, status=401)
    text = json.dumps(server.json("audit", "list"))
    if "oauth_client.create" not in text or f"oauth:{client['id']}" not in text or client["key"][26:] in text:
        raise Failure(f"the audit log: {text}")
