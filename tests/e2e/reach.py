"""Who reaches whom: every pair of some clients at once, by TCP in both families and by ping."""
import concurrent.futures
import json

from world import Failure, wait_for

# Tries each [kind, address, port] at once; says which answered.
TRY = """import json,socket,subprocess,sys,threading
cases=json.loads(sys.argv[1]); timeout=float(sys.argv[2]); got=[False]*len(cases)
def one(i,kind,ip,port):
    try:
        if kind=="ping":
            got[i]=subprocess.run(["ping","-n","-c1","-W",str(timeout),ip],capture_output=True,timeout=30).returncode==0
            return
        with socket.create_connection((ip,port),timeout=timeout) as s:
            s.settimeout(timeout*3); s.sendall(b"hello"); got[i]=s.recv(100)==b"HELLO"
    except (OSError, subprocess.TimeoutExpired): pass
all=[threading.Thread(target=one,args=(i,*c)) for i,c in enumerate(cases)]
[t.start() for t in all]; [t.join() for t in all]
print(json.dumps(got))
"""


class Crowd:
    """Clients that answer on these TCP ports, and what they are called to one another."""

    def __init__(self, *clients, ports=(80,)):
        self.clients = clients
        self.ips = {c.name: (c.ip4(), c.ip6()) for c in clients}
        for c in clients:
            c.echo(*(f"tcp:{port}" for port in ports))

    def tries(self, client, cases, timeout=1.0):
        """Whether each (kind, address, port) answers this client."""
        done = client.host.run("python3", "-c", TRY, json.dumps(cases), timeout, timeout=90)
        return json.loads(done.stdout)

    def all(self, ask):
        with concurrent.futures.ThreadPoolExecutor(len(self.clients)) as pool:
            return dict(zip((c.name for c in self.clients), pool.map(ask, self.clients)))

    def seen(self):
        """Whom each sees, as "a" -> "b c"."""
        return self.all(lambda c: " ".join(sorted(c.peers())))

    def reached(self, port=80, kind="tcp", timeout=1.0):
        """Whom each reaches, in both families alike, as "a" -> "b c"."""
        def ask(client):
            others = [c.name for c in self.clients if c is not client]
            got = self.tries(client, [(kind, ip, port) for name in others for ip in self.ips[name]], timeout)
            families = dict(zip(others, zip(got[::2], got[1::2])))
            return " ".join(sorted(name if both == (True, True) else f"{name}:{'4' if both[0] else '6'}"
                                   for name, both in families.items() if any(both)))
        return self.all(ask)

    def becomes(self, what, probe, timeout=40, **want):
        """Waits until each answer is as wanted: a="b c"; nothing for who is not named."""
        whole = {c.name: want.get(c.name, "") for c in self.clients}
        last = {}

        def settled():
            last.update(probe())
            return last == whole
        try:
            wait_for(what, settled, timeout, every=0.05)
        except Failure as err:
            raise Failure(f"{err}\nwanted {whole}\nfound  {last}") from None
