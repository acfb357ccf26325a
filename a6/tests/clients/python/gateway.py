"""Mock providers and a gateway in front of them, all the real binary, on free ports of this machine."""

import json
import os
import pathlib
import socket
import subprocess
import time
import urllib.error
import urllib.request

PROVIDER_KEY = "the-providers-key"
CLIENT_KEY = "the-clients-key"
PATIENCE = 20.0  # seconds until a process listens; a debug build on a busy machine takes one


def free_ports(count):
    """Ports that nobody listens on; all are held until all are known, so that they differ."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


class Process:
    """One `a6` process whose output goes into a log in `folder`."""

    def __init__(self, folder, name, arguments):
        self.name = name
        self.log = folder / f"{name}.log"
        environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder),
            "A6_CONFIG_DIR": str(folder),
        }
        binary = environment.pop("A6_BIN", None)
        if not binary:
            raise RuntimeError("A6_BIN must name the a6 binary; `./test python` sets it")
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                [binary, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
            )

    def wait_for(self, port):
        """Returns once the process listens on the port."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError as error:
                ended = self.child.poll()
                if ended is not None or time.monotonic() > deadline:
                    state = "still runs" if ended is None else f"ended with {ended}"
                    raise RuntimeError(
                        f"nobody listens on port {port} ({error}); `a6 {self.name}` {state}:\n{self.log.read_text()}"
                    ) from error
            time.sleep(0.02)

    def stop(self):
        """Ends the process, by force if it does not listen."""
        self.child.terminate()
        try:
            self.child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


def call(method, url, body=None, headers=None):
    """One HTTP request with a JSON answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json", **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise RuntimeError(f"{method} {url} answered {error.code}: {error.read().decode(errors='replace')}") from error


class Provider:
    """A running `a6 mock`."""

    def __init__(self, url):
        self.url = url

    def exchanges(self):
        """All that it has seen, as it wrote it down, once none of it is under way."""
        deadline = time.monotonic() + PATIENCE
        while True:
            all_of_them = call("GET", f"{self.url}/__ledger")
            # A client can have an answer's last byte a moment before the ledger says how it ended.
            if all(one["outcome"] != "open" for one in all_of_them) or time.monotonic() > deadline:
                return all_of_them
            time.sleep(0.01)

    def asked(self, marker):
        """The one exchange whose request body contains the marker."""
        found = [one for one in self.exchanges() if marker in one["body"]]
        assert len(found) == 1, f"{len(found)} requests with {marker!r} reached the provider"
        return found[0]


class Gateway:
    """`a6 mock`, and `a6 serve` with one route that sends everything below `/v1/` to it; more of both on demand.

    `keys` are what `deployment.admin.admin_key` is to be; without any, a6 makes one.
    """

    def __init__(self, folder, keys=()):
        self.folder = pathlib.Path(folder)
        self.processes = []
        try:
            self.start(list(keys))
        except BaseException:
            self.stop()
            raise

    def start(self, keys):
        """Starts both processes and writes the route."""
        data, admin, control = free_ports(3)
        self.root = f"http://127.0.0.1:{data}"
        self.url = f"{self.root}/v1"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.control_url = f"http://127.0.0.1:{control}"
        self.provider = self.mock("mock", "--require-key", PROVIDER_KEY)

        admin_settings = {"admin_listen": {"ip": "127.0.0.1", "port": admin}}
        if keys:
            admin_settings["admin_key"] = keys
        config = self.folder / "config.yaml"  # JSON is YAML too
        config.write_text(
            json.dumps(
                {
                    "apisix": {
                        "node_listen": [{"ip": "127.0.0.1", "port": data}],
                        "control": {"ip": "127.0.0.1", "port": control},
                        "ssl": {"enable": False},
                    },
                    "deployment": {"admin": admin_settings},
                    # Several gateways may run at a time.
                    "plugin_attr": {"prometheus": {"enable_export_server": False}},
                }
            )
        )
        data_dir = self.folder / "data"
        self.run("serve", ["serve", "--config", str(config), "--data-dir", str(data_dir), "--workers", "2"], admin)
        self.admin_key = keys[0]["key"] if keys else (data_dir / "admin.key").read_text().strip()
        self.route("sdk", "/v1/*", "openai-compatible", self.provider)

    def mock(self, name, *arguments):
        """One more provider, started with these arguments."""
        (port,) = free_ports(1)
        self.run(name, ["mock", "--host", "127.0.0.1", "--port", str(port), *arguments], port)
        return Provider(f"http://127.0.0.1:{port}")

    def scripted(self, name, scripts):
        """One more provider, which answers what it is told to.

        `scripts` are (path, request body, status, answer); an answer that is a string is a stream of events. A request that
        is not just one of them is 404: what reaches the provider is checked by that.
        """
        folder = self.folder / name
        folder.mkdir()
        for number, (path, asked, status, answer) in enumerate(scripts):
            streamed = isinstance(answer, str)
            content_type = "text/event-stream; charset=utf-8" if streamed else "application/json"
            response = {"code": status, "headers": {"Content-Type": [content_type]}}
            response["body"] = answer if streamed else json.dumps(answer)
            request = {"method": "POST", "url": f"https://provider.test{path}", "body": json.dumps(asked)}
            recording = {"version": 2, "interactions": [{"request": request, "response": response}]}
            (folder / f"{number}.yaml").write_text(json.dumps(recording))
        return self.mock(name, "--replay", str(folder))

    def route(self, name, uri, provider, to, path="", auth=None, **conf):
        """Sends what comes for `uri` to the mock `to`, by a route of that name."""
        proxy = {
            "provider": provider,
            "auth": {"header": {"Authorization": f"Bearer {PROVIDER_KEY}"}} if auth is None else auth,
            "override": {"endpoint": to.url + path},
            **conf,
        }
        self.write(name, {"uri": uri, "plugins": {"ai-proxy": proxy}})

    def write(self, name, route):
        """Writes a route as it is."""
        call("PUT", f"{self.admin_url}/apisix/admin/routes/{name}", route, {"x-api-key": self.admin_key})

    def run(self, name, arguments, port):
        """Starts a process that is stopped with the gateway."""
        process = Process(self.folder, name, arguments)
        self.processes.append(process)
        process.wait_for(port)

    def ledger(self, marker):
        """The one exchange of the first provider whose request body contains the marker."""
        return self.provider.asked(marker)

    def stop(self):
        """Stops all processes, the gateway before the first provider."""
        for process in reversed(self.processes):
            process.stop()
