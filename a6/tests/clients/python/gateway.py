"""A mock provider and a gateway in front of it, both the real binary, on free ports of this machine."""

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


class Gateway:
    """`a6 mock`, and `a6 serve` with one route that sends everything to it.

    `keys` are what `deployment.admin.admin_key` is to be; without any, a6 makes one.
    """

    def __init__(self, folder, keys=()):
        self.processes = []
        try:
            self.start(pathlib.Path(folder), list(keys))
        except BaseException:
            self.stop()
            raise

    def start(self, folder, keys):
        """Starts both processes and writes the route."""
        data, admin, control, provider = free_ports(4)
        self.url = f"http://127.0.0.1:{data}/v1"
        self.provider_url = f"http://127.0.0.1:{provider}"
        self.admin_url = f"http://127.0.0.1:{admin}"
        self.control_url = f"http://127.0.0.1:{control}"

        mock = ["mock", "--host", "127.0.0.1", "--port", str(provider), "--require-key", PROVIDER_KEY]
        self.run(folder, "mock", mock, provider)

        admin_settings = {"admin_listen": {"ip": "127.0.0.1", "port": admin}}
        if keys:
            admin_settings["admin_key"] = keys
        config = folder / "config.yaml"  # JSON is YAML too
        config.write_text(
            json.dumps(
                {
                    "apisix": {
                        "node_listen": [{"ip": "127.0.0.1", "port": data}],
                        "control": {"ip": "127.0.0.1", "port": control},
                        "ssl": {"enable": False},
                    },
                    "deployment": {"admin": admin_settings},
                }
            )
        )
        data_dir = folder / "data"
        serve = ["serve", "--config", str(config), "--data-dir", str(data_dir), "--workers", "2"]
        self.run(folder, "serve", serve, admin)
        self.admin_key = keys[0]["key"] if keys else (data_dir / "admin.key").read_text().strip()

        proxy = {
            "provider": "openai-compatible",
            "auth": {"header": {"Authorization": f"Bearer {PROVIDER_KEY}"}},
            "override": {"endpoint": f"{self.provider_url}/v1/chat/completions"},
        }
        call(
            "PUT",
            f"{self.admin_url}/apisix/admin/routes/sdk",
            {"uri": "/v1/*", "plugins": {"ai-proxy": proxy}},
            {"x-api-key": self.admin_key},
        )

    def run(self, folder, name, arguments, port):
        """Starts a process that is stopped with the gateway."""
        process = Process(folder, name, arguments)
        self.processes.append(process)
        process.wait_for(port)

    def ledger(self, marker):
        """The one exchange whose request body contains the marker, as the mock wrote it down."""
        found = [one for one in call("GET", f"{self.provider_url}/__ledger") if marker in one["body"]]
        assert len(found) == 1, f"{len(found)} requests with {marker!r} reached the provider"
        return found[0]

    def stop(self):
        """Stops both processes, the gateway first."""
        for process in reversed(self.processes):
            process.stop()
