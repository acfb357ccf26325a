"""What a user of boto3's `bedrock-runtime` sees through a6, which signs anew with the key of its route.

The mock checks the signature; what it received and counted is the truth.
"""

import json

import boto3
import botocore.config
import botocore.exceptions
import pytest

from gateway import Provider

REGION = "us-east-1"
MODEL = "anthropic.claude-3-5-sonnet-20240620-v1:0"
PROVIDERS_ID, PROVIDERS_SECRET, PROVIDERS_TOKEN = "AKIAOFTHEPROVIDER", "the-providers-secret/+", "the-providers-token"
CLIENTS_ID, CLIENTS_SECRET, CLIENTS_TOKEN = "AKIAOFTHECLIENT", "the-clients-secret", "the-clients-token"
AUTH = {
    "access_key_id": PROVIDERS_ID,
    "secret_access_key": PROVIDERS_SECRET,
    "session_token": PROVIDERS_TOKEN,
}


@pytest.fixture(scope="module")
def aws(gateway):
    """A mock that answers only to what is signed for it, and the route there."""
    key = f"{REGION}:{PROVIDERS_ID}:{PROVIDERS_SECRET}:{PROVIDERS_TOKEN}"
    provider = gateway.mock("aws", "--require-aws-key", key)
    route(gateway, provider, "bedrock", "/model/*", AUTH)
    return provider


def route(gateway, provider: Provider, name, uri, key):
    conf = {"provider_conf": {"region": REGION}, "options": {"model": MODEL}}
    gateway.route(name, uri, "bedrock", provider, auth={"aws": key}, **conf)


def client_at(url):
    """boto3 as a user has it: with a key of its own, which signs for a6; retries would hide what was answered."""
    settings = botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=20, proxies={})
    return boto3.client(
        "bedrock-runtime",
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=CLIENTS_ID,
        aws_secret_access_key=CLIENTS_SECRET,
        aws_session_token=CLIENTS_TOKEN,
        config=settings,
    )


@pytest.fixture
def bedrock(gateway, aws):
    one = client_at(gateway.root)
    yield one
    one.close()


def with_knobs(client, **knobs):
    """Has the client send these knobs of the mock as headers, which it signs."""

    def add(params, **_):
        params["headers"] |= {f"x-mock-{name.replace('_', '-')}": str(value) for name, value in knobs.items()}

    client.meta.events.register("before-call.bedrock-runtime", add)


def by_the_flag_of_the_gateway(client):
    """Has the client ask for a stream as APISIX wants it: by a member of the body, at the path of plain answers."""

    def change(params, **_):
        params["url_path"] = params["url_path"].removesuffix("-stream")
        params["url"] = params["url"].removesuffix("-stream")
        params["body"] = json.dumps({**json.loads(params["body"]), "stream": True}).encode()

    client.meta.events.register("before-call.bedrock-runtime.ConverseStream", change)


def conversation(marker):
    return {
        "modelId": MODEL,
        "system": [{"text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"text": f"Say something about {marker}, please."}]}],
        "inferenceConfig": {"maxTokens": 100, "temperature": 0.5},
    }


def assert_usage(usage, exchange):
    prompt, completion = exchange["prompt_tokens"], exchange["completion_tokens"]
    assert prompt > 0 and completion > 0, exchange
    counted = {"inputTokens": prompt, "outputTokens": completion, "totalTokens": prompt + completion}
    assert {name: usage[name] for name in counted} == counted


def test_converse(bedrock, aws, marker):
    asked = conversation(marker)
    answer = bedrock.converse(**asked)
    exchange = aws.asked(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": exchange["content"]}]}
    assert answer["stopReason"] == "end_turn"
    assert_usage(answer["usage"], exchange)
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
    assert exchange["target"] == f"/model/{MODEL.replace(':', '%3A')}/converse"
    assert json.loads(exchange["body"]) == {name: asked[name] for name in asked if name != "modelId"}


def test_the_clients_key_stays_in_the_gateway(bedrock, aws, marker):
    bedrock.converse(**conversation(marker))
    exchange = aws.asked(marker)
    authorization = dict(exchange["headers"])["authorization"]
    assert authorization.startswith(f"AWS4-HMAC-SHA256 Credential={PROVIDERS_ID}/")
    for secret in (CLIENTS_ID, CLIENTS_SECRET, CLIENTS_TOKEN, PROVIDERS_SECRET):
        assert secret not in json.dumps(exchange)


WAYS = ["as the SDK asks", "by the flag of the gateway"]


@pytest.fixture(params=WAYS)
def streaming(request, bedrock):
    """The client, asking for streams either way."""
    if request.param == "by the flag of the gateway":
        by_the_flag_of_the_gateway(bedrock)
    return bedrock


def text_of(events):
    return "".join(event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event)


def test_converse_stream(streaming, aws, marker):
    with_knobs(streaming, chunks=20)
    asked = conversation(marker)
    events = list(streaming.converse_stream(**asked)["stream"])
    exchange = aws.asked(marker)
    assert text_of(events) == exchange["content"]
    names = [next(iter(event)) for event in events]
    assert names == [
        "messageStart",
        *["contentBlockDelta"] * 20,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[-2]["messageStop"]["stopReason"] == "end_turn"
    assert_usage(events[-1]["metadata"]["usage"], exchange)
    assert exchange["target"] == f"/model/{MODEL.replace(':', '%3A')}/converse-stream"
    assert json.loads(exchange["body"]) == {name: asked[name] for name in asked if name != "modelId"}
    assert exchange["outcome"] == "complete"


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_stream_raises_and_does_not_look_finished(streaming, aws, marker, end):
    with_knobs(streaming, chunks=40, chunk_bytes=32, chunk_delay_ms=5, cut_after=4000, cut_with=end)
    events = []
    with pytest.raises(botocore.exceptions.EventStreamError) as raised:
        for event in streaming.converse_stream(**conversation(marker))["stream"]:
            events.append(event)
    assert raised.value.response["Error"]["Code"] == "modelStreamErrorException"
    exchange = aws.asked(marker)
    text = text_of(events)
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any("messageStop" in event or "metadata" in event for event in events)


def test_a_cut_reply_is_no_answer(bedrock, aws, marker):
    with_knobs(bedrock, cut_after=150)
    # botocore does not look at the length that was announced; but what it got is no JSON.
    assert "output" not in bedrock.converse(**conversation(marker))
    assert aws.asked(marker)["outcome"] == "cut"


@pytest.mark.parametrize(
    ("status", "name"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_the_providers_errors_are_the_sdks_exceptions(bedrock, aws, marker, status, name):
    with_knobs(bedrock, status=status, retry_after=7)
    with pytest.raises(getattr(bedrock.exceptions, name)) as raised:
        bedrock.converse(**conversation(marker))
    answer = raised.value.response
    assert answer["Error"] == {"Code": name, "Message": f"The mock was asked to answer {status}."}
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == status
    assert answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "7"
    assert aws.asked(marker)["status"] == status


def test_a_wrong_key_of_the_providers_is_the_sdks_exception(gateway, aws, marker):
    route(gateway, aws, "bedrock-bad-key", "/bedrock-bad-key/*", {**AUTH, "secret_access_key": "wrong"})
    client = client_at(f"{gateway.root}/bedrock-bad-key")
    with pytest.raises(botocore.exceptions.ClientError) as raised:
        client.converse(**conversation(marker))
    client.close()
    assert raised.value.response["Error"]["Code"] == "InvalidSignatureException"
    assert raised.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
