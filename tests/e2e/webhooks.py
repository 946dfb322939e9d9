"""A receiver of webhooks: `webhooks.py PORT FILE` notes each request as one line of JSON, and always answers 200."""
import base64
import hashlib
import hmac
import http.server
import json
import sys


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with open(sys.argv[2], "a", encoding="ascii") as file:
            print(json.dumps({"path": self.path, "type": self.headers.get("Content-Type"),
                              "signature": self.headers.get("Tailscale-Webhook-Signature"),
                              "body": base64.b64encode(body).decode()}), file=file)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def is_signed(request, secret):
    """Whether the secret made the signature, over time and body as they came."""
    fields = dict(part.split("=", 1) for part in (request["signature"] or "").split(","))
    text = fields["t"].encode() + b"." + base64.b64decode(request["body"])
    return hmac.compare_digest(fields["v1"], hmac.new(secret.encode(), text, hashlib.sha256).hexdigest())


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("", int(sys.argv[1])), Handler).serve_forever()
