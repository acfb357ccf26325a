"""The troubles that users of an AI gateway have first, as OpenAI's official SDK tells of them."""

import json
import time

import openai
import pytest

from gateway import CLIENT_KEY, PROVIDER_KEY, Provider, call, free_ports

MODEL = "gpt-4o-mini"


def messages(marker):
    return [{"role": "user", "content": f"Say something about {marker}, please."}]


@pytest.fixture
def asked_through(gateway):
    """Asks through a route that is written for this request alone."""

    def ask(to, marker, headers=None, provider="openai", stream=False, **conf):
        gateway.route("trouble", "/trouble/*", provider, to, **conf)
        with openai.OpenAI(base_url=f"{gateway.root}/trouble/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
            answer = one.chat.completions.create(
                model=MODEL, messages=messages(marker), extra_headers=headers, stream=stream
            )
            return list(answer) if stream else answer

    return ask


@pytest.mark.parametrize(
    ("where", "cause", "kind"),
    [
        ("http://127.0.0.1:{port}", "Connection refused", "upstream_connect_error"),
        ("http://nowhere.invalid", "could not resolve nowhere.invalid", "upstream_dns_error"),
        ("https://127.0.0.1:{mock}", "TLS handshake", "upstream_tls_error"),
    ],
)
def test_a_wrong_endpoint_is_502_with_the_cause(gateway, asked_through, marker, where, cause, kind):
    (port,) = free_ports(1)
    url = where.format(port=port, mock=gateway.provider.url.rpartition(":")[2])
    with pytest.raises(openai.InternalServerError, match=cause) as raised:
        asked_through(Provider(url), marker)
    assert (raised.value.status_code, raised.value.type) == (502, kind)
    assert url.partition("://")[2] in raised.value.message, "the host is named"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_a_bad_key_is_the_providers_401(gateway, asked_through, marker, stream):
    auth = {"header": {"Authorization": "Bearer wrong"}}
    with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as raised:
        asked_through(gateway.provider, marker, auth=auth, stream=stream)
    assert raised.value.code == "invalid_api_key"
    assert gateway.ledger(marker)["status"] == 401


def test_a_slow_provider_is_504(gateway, asked_through, marker):
    with pytest.raises(openai.InternalServerError, match="took longer than 300 ms") as raised:
        asked_through(gateway.provider, marker, {"x-mock-first-delay-ms": "20000"}, timeout=300)
    assert (raised.value.status_code, raised.value.type) == (504, "upstream_timeout")


def test_the_tokens_of_a_stream_are_known_without_the_client_asking(gateway, asked_through, marker):
    model = f"model-{marker}"
    chunks = asked_through(gateway.provider, marker, stream=True, options={"model": model})
    exchange = gateway.ledger(marker)
    assert all(chunk.choices for chunk in chunks), "a usage chunk came that nobody asked for"
    assert json.loads(exchange["body"])["stream_options"] == {"include_usage": True}
    record = record_of(gateway, model)
    counted = (exchange["prompt_tokens"], exchange["completion_tokens"])
    assert (record["prompt_tokens"], record["completion_tokens"]) == counted and all(counted)


def record_of(gateway, model):
    """What the gateway wrote down of the request to that model; it does so once the answer has left."""
    deadline = time.monotonic() + 10
    while True:
        for record in call("GET", f"{gateway.control_url}/v1/requests"):
            if record["model"] == model:
                return record
        assert time.monotonic() < deadline, "no record"
        time.sleep(0.02)


def test_azures_404_is_passed_on(gateway, asked_through, marker):
    path = "/openai/deployments/none/chat/completions?api-version=2025-01-01-preview"
    auth = {"header": {"api-key": PROVIDER_KEY}}
    with pytest.raises(openai.NotFoundError, match="The mock was asked to answer 404"):
        asked_through(gateway.provider, marker, {"x-mock-status": "404"}, "azure-openai", path=path, auth=auth)
    exchange = gateway.ledger(marker)
    assert exchange["target"] == path
    assert "model" not in json.loads(exchange["body"]), "Azure knows it by the path"


@pytest.mark.parametrize(
    ("account", "words"),
    [
        ("{nonsense", "invalid gcp service_account_json"),
        ("[]", "it is no JSON object"),
        ('{"client_email": "a@p.test"}', "private_key is missing"),
        ('{"client_email": "a@p.test", "private_key": "nonsense"}', "private_key"),
    ],
)
def test_a_bad_service_account_is_refused_with_the_route(gateway, account, words):
    place = {"provider_conf": {"project_id": "p", "region": "europe-west1"}}
    auth = {"gcp": {"service_account_json": account}}
    with pytest.raises(RuntimeError, match=words) as raised:
        gateway.route("bad-account", "/bad-account/*", "vertex-ai", gateway.provider, auth=auth, **place)
    assert " answered 400: " in str(raised.value)
