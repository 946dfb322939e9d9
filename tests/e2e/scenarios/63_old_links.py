"""Links that an older headscale gave out before the switch: a page that says how to get a new one. And answers to pings that
nobody sent are nobody's."""
from world import Failure, Host

KEY = "0123456789abcdef" * 4


def run(world):
    server = world.server()
    laptop = Host(world, "laptop")

    def ask(path, *how):
        out = laptop.run("curl", "-s", "--max-time", "20", "-w", "\n%{http_code}", *how, server.url + path).stdout
        text, _, status = out.rpartition("\n")
        return int(status), text

    # 0.22, 0.23, 0.24 to 0.28, 0.29.
    for old in (f"nodekey:{KEY}", f"mkey:{KEY}", "aB3-_xYz0123456789abcdEF", "hskey-authreq-aB3-_xYz0123456789abcdEF"):
        status, text = ask(f"/register/{old}")
        if status != 410 or f"tailscale up --login-server {server.url}" not in text or "older server" not in text:
            raise Failure(f"{old}: {status} {text}")
    # One of this server's is a page of its own; what is none of all these is refused.
    status, text = ask("/register/hskey-authreq-" + "0" * 24)
    if status != 200 or "hatsize auth register" not in text:
        raise Failure(f"a link of today: {status} {text}")
    for bad in ("x", "<script>", "hskey-authreq-" + "z" * 25, "mkey"):
        status, text = ask(f"/register/{bad}")
        if status != 400 or "<" in text:
            raise Failure(f"{bad}: {status} {text}")
    # HEAD and POST, as clients send them.
    for how in (("-I",), ("-X", "POST", "-d", "{}")):
        for unknown in ("0" * 32, "0123456789abcdef" * 2, "x", ""):
            if ask(f"/machine/ping-response?id={unknown}", *how)[0] != 404:
                raise Failure(f"a ping nobody sent, {unknown}: {ask(f'/machine/ping-response?id={unknown}', *how)}")
