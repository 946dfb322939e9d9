"""Lists that are long: over REST, over gRPC by Google's library with and without its limit of 4 MiB for a message, slowly
read, and left in the middle, while others are answered.

The library is that of the scenario of gRPC's; without it skipped.
"""
import concurrent.futures
import http.client
import json
import pathlib
import socket

from world import POLICY_IN_DATABASE, Failure, Host, from_packages

HERE = pathlib.Path(__file__).resolve().parent.parent
KEYS, TAGS = 1200, 96
ASK = """
import sys
import grpc
sys.path.insert(0, sys.argv[1])
import grpc_client
pb, stubs = grpc_client.compiled(sys.argv[2])
keyed = (("authorization", f"Bearer {sys.argv[4]}"),)
for options in ((("grpc.max_receive_message_length", -1),), ()):
    with grpc.insecure_channel(sys.argv[3], options=options) as channel:
        hs = stubs.HeadscaleServiceStub(channel)
        try:
            answer = hs.ListPreAuthKeys(pb.ListPreAuthKeysRequest(), metadata=keyed, timeout=60)
            print(len(answer.pre_auth_keys), len({k.id for k in answer.pre_auth_keys}), answer.ByteSize())
        except grpc.RpcError as err:
            print(err.code().name, "larger than max" in err.details())
        print(hs.ListUsers(pb.ListUsersRequest(), metadata=keyed, timeout=60).users[0].name)
"""


class Local(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("local", timeout=60)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))

    def ask(self, method, path, body=None):
        self.request(method, path, None if body is None else json.dumps(body))
        answer = self.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Failure(f"{method} {path}: {answer.status} {text[:300]}")
        return json.loads(text)


def fill(path, n):
    local = Local(path)
    tags = [f"tag:long-name-of-a-group-of-machines-{i:02}" for i in range(TAGS)]
    for _ in range(n):
        local.ask("POST", "/api/v1/preauthkey", {"aclTags": tags, "reusable": True})


def run(world):
    program = from_packages("grpc", "grpc.txt", "python")
    server = world.server(start=False)
    path = server.dir / "hs.sock"
    server.configure(POLICY_IN_DATABASE + f"unix_socket: {path}\ngrpc_allow_insecure: true\n")
    server.start()
    server.user("alice")
    key = server.cli("apikeys", "create").stdout.strip()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fill(path, KEYS // 8), range(8)))

    local = Local(path)
    listed = local.ask("GET", "/api/v1/preauthkey")["preAuthKeys"]
    if len({k["id"] for k in listed}) != KEYS or len(listed) != KEYS:
        raise Failure(f"{len(listed)} keys, not {KEYS}")

    # Slow readers, and one that leaves: others are answered meanwhile.
    slow = [Local(path) for _ in range(4)]
    for reader in slow:
        reader.request("GET", "/api/v1/preauthkey")
    Local(path).ask("GET", "/api/v1/health")
    slow.pop().close()
    for reader in slow:
        answer = reader.getresponse()
        if len(json.loads(answer.read())["preAuthKeys"]) != KEYS:
            raise Failure("a slow reader got less")

    laptop = Host(world, "laptop")
    done = laptop.run("env", "-u", "http_proxy", "-u", "https_proxy", program, "-c", ASK, HERE,
                      HERE.parent.parent / "src/grpc", f"{server.host.ip}:50443", key, timeout=120)
    whole, name, limited, again = done.stdout.split("\n")[:4]
    n, ids, size = (int(word) for word in whole.split())
    if (n, ids, name, again) != (KEYS, KEYS, "alice", "alice") or size <= 4 << 20:
        raise Failure(done.stdout)
    # What headscale's own clients say of a list beyond their limit; the next call is answered.
    if limited != "RESOURCE_EXHAUSTED True":
        raise Failure(done.stdout)
    print(f"     {KEYS} keys are {size >> 10} KiB; the server has {server.rss_kib() >> 10} MiB")
