"""Somebody with a key, and any calls he likes."""
import json

# All by one program: to start one for each takes longer than to ask.
ASK = """
import http.client, json, sys
host, port, calls = json.load(sys.stdin)
answers = []
for method, path, headers, body in calls:
    c = http.client.HTTPConnection(host, int(port), timeout=20)
    c.request(method, path, body=body, headers=headers)
    r = c.getresponse()
    # A stream never ends: what it is says enough.
    stream = "event-stream" in (r.getheader("content-type") or "")
    answers.append([r.status, "" if stream else r.read().decode("utf-8", "replace")])
    c.close()
print(json.dumps(answers))
"""


class Stranger:
    def __init__(self, host, server):
        self.host = host
        self.address = server.url.removeprefix("http://").split(":")

    def head(self, key):
        return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"} if key else {}

    def ask(self, key, calls):
        """Status and text of each call: method, path, body."""
        calls = [[method, path, self.head(key), body] for method, path, body in calls]
        return json.loads(self.host.run("python3", "-c", ASK, input=json.dumps([*self.address, calls])).stdout)
