"""Promise: whatever the Admin API is sent, it answers as its OpenAPI document says, and never with a 5xx.

schemathesis reads `/apisix/admin/openapi.json` and asks what it describes: with data that conforms and with data that does
not. `SCHEMATHESIS_EXAMPLES=200` asks for more of it, `SCHEMATHESIS_SEED=7` for other data.
"""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request

import pytest

from gateway import Gateway, call

ADMIN_KEY = "the-administrators-key"
VIEWER_KEY = "the-viewers-key"
SEED = os.environ.get("SCHEMATHESIS_SEED", "20")
EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "6")
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
# What has the same `plugins` as a PUT of a route: each of their members is tried there, one by one; that takes a while.
LIKE_A_ROUTE = "_by_id$|^create_(route|service)$|^put_(service|plugin_config|consumer_group|global_rule)$"
PHASES = {
    "each_member": ["--phases", "coverage", "--exclude-operation-id-regex", LIKE_A_ROUTE],
    "all_together": ["--phases", "fuzzing,stateful", "--max-examples", EXAMPLES],
}
HANGS = 600  # seconds after which a run is ended; it takes some twenty


@pytest.fixture
def own(tmp_path):
    """A gateway that may be written to at random."""
    keys = [
        {"name": "admin", "key": ADMIN_KEY, "role": "admin"},
        {"name": "viewer", "key": VIEWER_KEY, "role": "viewer"},
    ]
    running = Gateway(tmp_path, keys)
    yield running
    running.stop()


@pytest.mark.parametrize("phase", PHASES)
def test_answers_are_as_described(own, phase, tmp_path):
    command = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run"]
    command += [f"{own.admin_url}/apisix/admin/openapi.json", "--header", f"X-API-KEY: {ADMIN_KEY}"]
    command += ["--checks", ",".join(CHECKS), "--seed", SEED, "--continue-on-failure", "--no-color"]
    command += ["--warnings", "off", *PHASES[phase]]
    run = subprocess.run(command, cwd=tmp_path, timeout=HANGS, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout[-8000:] + run.stderr[-2000:]
    asked = re.search(r"(\d+) generated", run.stdout)
    assert asked and int(asked[1]) > 300, run.stdout[-2000:]
    serve = own.processes[-1]
    assert serve.child.poll() is None, serve.log.read_text()
    assert "panicked" not in serve.log.read_text(), serve.log.read_text()
    assert call("GET", f"{own.control_url}/v1/config/status")["revision"] > 1


def test_a_viewer_may_only_read(own):
    document = call("GET", f"{own.admin_url}/apisix/admin/openapi.json", headers={"x-api-key": VIEWER_KEY})
    before = call("GET", f"{own.control_url}/v1/config/status")
    tried = 0
    for path, methods in document["paths"].items():
        for method in methods:
            url = own.admin_url + re.sub(r"\{\w+\}", "one", path)
            status = status_of(method.upper(), url, VIEWER_KEY)
            is_read = method in ("get", "head")
            assert (status == 401) != is_read, f"{method} {path}: {status}"
            tried += 1
    assert tried > 70
    assert call("GET", f"{own.control_url}/v1/config/status") == before


def status_of(method, url, key):
    """The status of a request with an empty object as its body."""
    body = None if method in ("GET", "HEAD") else b"{}"
    headers = {"x-api-key": key, "content-type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method), timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
