"""A client of headscale's gRPC service on Google's library: run by scenario 71 with the packages of grpc.txt.

    grpc_client.py PROTO_DIR SOCKET ADDRESS KEY
"""
import concurrent.futures
import pathlib
import sys
import tempfile

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

SERVICE = "headscale.v1.HeadscaleService"


def same(what, got, want):
    if got != want:
        sys.exit(f"{what}: {got!r}, not {want!r}")


def fails(what, code, text, call, *argv, **how):
    try:
        call(*argv, **how)
    except grpc.RpcError as err:
        if err.code() != code or text not in err.details():
            sys.exit(f"{what}: {err.code()} {err.details()!r}, not {code} {text!r}")
        return
    sys.exit(f"{what}: no error")


def by_reflection(target):
    """With no definition but what the server says of itself."""
    with grpc.insecure_channel(target) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        same("services", list(database.get_services()), [SERVICE])
        pool = descriptor_pool.DescriptorPool(database)
        method = pool.FindServiceByName(SERVICE).methods_by_name["CreateUser"]
        request = message_factory.GetMessageClass(method.input_type)
        answer = message_factory.GetMessageClass(method.output_type)
        call = channel.unary_unary(f"/{SERVICE}/CreateUser", request.SerializeToString, answer.FromString)
        same("a user by reflection", call(request(name="grace", display_name="Grüße")).user.display_name, "Grüße")


def compiled(folder):
    """The modules that Google's compiler makes of our definition."""
    with tempfile.TemporaryDirectory() as out:
        if protoc.main(["protoc", f"-I{folder}", f"--python_out={out}", f"--grpc_python_out={out}", f"{folder}/headscale.proto"]):
            sys.exit("the definition does not compile")
        sys.path.insert(0, out)
        import headscale_pb2
        import headscale_pb2_grpc
        sys.path.pop(0)
    return headscale_pb2, headscale_pb2_grpc


def by_key(target, key, pb, stubs):
    keyed = (("authorization", f"Bearer {key}"),)
    with grpc.insecure_channel(target) as channel:
        hs = stubs.HeadscaleServiceStub(channel)
        hs_users = lambda **how: hs.ListUsers(pb.ListUsersRequest(), **how)  # noqa: E731
        fails("no key", grpc.StatusCode.UNAUTHENTICATED, "not supplied", hs_users)
        fails("a bad key", grpc.StatusCode.UNAUTHENTICATED, "invalid token", hs_users, metadata=(("authorization", "Bearer x"),))
        same("users", [u.name for u in hs_users(metadata=keyed, timeout=20).users], ["grace"])
        fails("a name that is there", grpc.StatusCode.ALREADY_EXISTS, "exists", hs.CreateUser, pb.CreateUserRequest(name="grace"),
              metadata=keyed)
        fails("a compressed message", grpc.StatusCode.UNIMPLEMENTED, "compress", hs.CreateUser,
              pb.CreateUserRequest(name="x" * 5000), metadata=keyed, compression=grpc.Compression.Gzip)
        fails("a message that is too long", grpc.StatusCode.RESOURCE_EXHAUSTED, "too long", hs.CreateUser,
              pb.CreateUserRequest(name="x" * (1 << 20)), metadata=keyed)
        fails("nobody", grpc.StatusCode.NOT_FOUND, "user not found", hs.DeleteUser, pb.DeleteUserRequest(id=99), metadata=keyed)
        fails("a call that is none", grpc.StatusCode.UNIMPLEMENTED, "unknown method",
              channel.unary_unary(f"/{SERVICE}/Fly", bytes, bytes), b"", metadata=keyed)
        text = '{"acls": []} // ' + "ä" * 500000 + "\n"
        hs.SetPolicy(pb.SetPolicyRequest(policy=text), metadata=keyed)
        same("a long policy", hs.GetPolicy(pb.GetPolicyRequest(), metadata=keyed).policy, text)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            made = list(pool.map(lambda n: hs.CreateUser(pb.CreateUserRequest(name=f"user{n}"), metadata=keyed).user.id, range(100)))
        same("users made at once", len(set(made)), 100)
        same("all users", len(hs_users(metadata=keyed).users), 101)
        same("health", hs.Health(pb.HealthRequest(), metadata=keyed).database_connectivity, True)


if __name__ == "__main__":
    folder, socket, address, key = sys.argv[1:]
    by_reflection(f"unix:{pathlib.Path(socket).absolute()}")
    by_key(address, key, *compiled(folder))
    print("all of it")
