"""An identity provider (oidc-provider, a certified one) on a host of its own, and a browser made of curl."""
import html
import json
import re
import urllib.parse

from world import Failure, Host, wait_for

PORT = 9000


class Provider:
    def __init__(self, world, name="idp", server_ip=None, **settings):
        self.world, self.name = world, name
        self.host = Host(world, name)
        self.dir = world.dir / name
        self.dir.mkdir()
        self.log = self.dir / "log"
        self.settings = {
            "issuer": f"http://{self.host.ip}:{PORT}", "port": PORT, "client_id": f"hatsize-{name}",
            "client_secret": "a secret: 100% +known", "accounts": {}, **settings}
        self.proc = None

    @property
    def issuer(self):
        return self.settings["issuer"]

    def write(self):
        (self.dir / "settings.json").write_text(json.dumps(self.settings))

    def account(self, sub, **claims):
        self.settings["accounts"][sub] = claims
        self.write()

    def start(self, server_url):
        self.settings["redirect_uris"] = [f"{server_url}/oidc/callback"]
        self.write()
        before = self.text().count("provider listens")
        self.proc = self.host.spawn("node", self.world.here / "oidc/provider.mjs", self.world.oidc,
                                    self.dir / "settings.json", log=self.log)

        def listens():
            if self.proc.poll() is not None:
                raise Failure(f"the provider ended with {self.proc.returncode}:\n{self.text()[-3000:]}")
            return self.text().count("provider listens") > before
        wait_for(f"{self.name} listens", listens, timeout=60)
        return self

    def stop(self):
        self.host.end(self.proc)

    def restart(self, server_url):
        """With other keys, and nobody logged in."""
        self.stop()
        return self.start(server_url)

    def text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def config(self, more=""):
        """The section of the server's configuration; `more` is lines of it, indented by two."""
        return (f"oidc:\n  issuer: {self.issuer}\n  client_id: {self.settings['client_id']}\n"
                f"  client_secret: \"{self.settings['client_secret']}\"\n{more}")

    def item(self, more=""):
        """As one of oidc_providers."""
        return (f"  - name: {self.name}\n    issuer: {self.issuer}\n    client_id: {self.settings['client_id']}\n"
                f"    client_secret: \"{self.settings['client_secret']}\"\n{more}")


class Page:
    def __init__(self, url, status, headers, body):
        self.url, self.status, self.headers, self.body = url, status, headers, body

    @property
    def location(self):
        target = self.headers.get("location")
        return urllib.parse.urljoin(self.url, target) if target else None

    def form(self):
        """(action, hidden and other fields)"""
        found = re.search(r"<form[^>]*action=\"([^\"]*)\"[^>]*>(.*?)</form>", self.body, re.S)
        if not found:
            raise Failure(f"no form on {self.url}: {self.status} {self.body[:2000]}")
        fields = {}
        for field in re.findall(r"<input[^>]*>", found.group(2)):
            at = dict(re.findall(r"(\w+)=\"([^\"]*)\"", field))
            if "name" in at:
                fields[at["name"]] = html.unescape(at.get("value", ""))
        return urllib.parse.urljoin(self.url, html.unescape(found.group(1))), fields

    def must(self, status, *texts):
        """The page, if it has this status (or one of these) and these texts."""
        if self.status not in (status if isinstance(status, tuple) else (status,)) or any(text not in self.body for text in texts):
            raise Failure(f"{self.url}: {self.status}, wanted {status} with {texts}:\n{self.body[:3000]}")
        return self


class Browser:
    """Keeps cookies, as a person's browser does; follows nothing by itself."""

    _count = 0

    def __init__(self, host, directory):
        Browser._count += 1
        self.host = host
        self.jar = directory / f"cookies-{Browser._count}"
        self.jar.touch()

    def request(self, url, *more):
        done = self.host.run("curl", "-s", "-i", "-m", "60", "-b", self.jar, "-c", self.jar, *more, url, check=False)
        if done.returncode != 0:
            raise Failure(f"curl {url}: exit {done.returncode} {done.stderr}")
        head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
        lines = head.split("\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            headers[name] = f"{headers[name]}\n{value.strip()}" if name in headers else value.strip()
        return Page(url, int(lines[0].split()[1]), headers, body)

    def get(self, url):
        return self.request(url)

    def post(self, url, fields):
        return self.request(url, "--data", "", *(part for name, value in fields.items()
                                   for part in ("--data-urlencode", f"{name}={value}")))

    def to_callback(self, url, account):
        """From an AuthURL through the provider's pages; the callback's URL, not yet asked for."""
        page = self.get(url)
        for _ in range(20):
            if page.location:
                if "/oidc/callback?" in page.location:
                    return page.location
                page = self.get(page.location)
            elif "/interaction/" in page.url and page.status == 200:
                action, fields = page.form()
                if "login" in fields:
                    fields.update(login=account, password="x")
                page = self.post(action, fields)
            else:
                raise Failure(f"the way to the provider ends at {page.url}: {page.status} {page.body[:2000]}")
        raise Failure("the way to the provider has no end")

    def to_question(self, url, account):
        """The page that asks whether to let it in."""
        return self.get(self.to_callback(url, account))

    def yes(self, page):
        action, fields = page.form()
        return self.post(action, fields)

    def log_in(self, url, account):
        return self.yes(self.to_question(url, account).must(200, "Confirm"))


def begin(world, client, *flags):
    """`tailscale up` until it shows where to log in: the command under way, and the URL."""
    log = client.dir / "ts.log"
    seen = len(log.read_text(errors="replace")) if log.exists() else 0
    up = client.spawn_ts("up", f"--login-server={world.the_server.url}", f"--hostname={client.name}",
                         "--timeout=120s", *flags)
    found = wait_for(f"{client.name} shows a URL", lambda: re.search(
        rf"{world.the_server.url}/register/\S+", log.read_text(errors="replace")[seen:]), timeout=60)
    return up, found.group(0)


def finish(client, up):
    wait_for(f"{client.name}: tailscale up ends", lambda: up.poll() is not None, timeout=60)
    if up.returncode != 0:
        raise Failure(f"{client.name}: tailscale up failed: {(client.dir / 'ts.log').read_text()[-2000:]}")
    client.wait_running()


def join(world, client, browser, account, *flags):
    """The whole of it; the last page."""
    up, url = begin(world, client, *flags)
    page = browser.log_in(url, account)
    finish(client, up)
    return page
