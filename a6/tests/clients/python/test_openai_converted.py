"""What a user of OpenAI's official SDK for Python sees through a6, where the provider speaks Anthropic's Messages, Bedrock's Converse
or Vertex AI's predict.

The truth is the ledger of the mocks.
"""

import json

import openai
import pytest

from gateway import CLIENT_KEY, PROVIDER_KEY

MODEL = "model-of-the-mock"
AWS = {"access_key_id": "AKIAOFTHEPROVIDER", "secret_access_key": "the-providers-secret"}
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
# What the provider is sent of a request with one message of the user, and a tool that has to be called.
ANTHROPICS = {
    "tools": [{**TOOL["function"], "input_schema": TOOL["function"]["parameters"]}],
    "tool_choice": {"type": "any"},
}
del ANTHROPICS["tools"][0]["parameters"]


@pytest.fixture(scope="module")
def aws(gateway):
    """A mock that answers only to what is signed for it."""
    key = f"us-east-1:{AWS['access_key_id']}:{AWS['secret_access_key']}"
    return gateway.mock("aws-converted", "--require-aws-key", key)


@pytest.fixture(scope="module", params=["anthropic", "bedrock"])
def side(request, gateway, aws):
    """The SDK at a route to one of the providers, and that provider."""
    if request.param == "anthropic":
        auth = {"header": {"x-api-key": PROVIDER_KEY}}
        gateway.route("to-anthropic", "/to-anthropic/*", "anthropic", gateway.provider, "/v1/messages", auth=auth)
    else:
        place = {"provider_conf": {"region": "us-east-1"}}
        gateway.route("to-bedrock", "/to-bedrock/*", "bedrock", aws, auth={"aws": AWS}, **place)
    url = f"{gateway.root}/to-{request.param}/v1"
    with openai.OpenAI(base_url=url, api_key=CLIENT_KEY, max_retries=0, timeout=20) as client:
        yield client, gateway.provider if request.param == "anthropic" else aws


def request(marker, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": f"Say something about {marker}, please."}], **more}


def assert_usage(usage, exchange):
    prompt, completion = exchange["prompt_tokens"], exchange["completion_tokens"]
    assert prompt > 0 and completion > 0, exchange
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (prompt, completion, prompt + completion)


def test_completion(side, marker):
    client, provider = side
    answer = client.chat.completions.create(**request(marker))
    exchange = provider.asked(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert answer.choices[0].message.content == exchange["content"]
    assert (answer.choices[0].finish_reason, answer.model) == ("stop", MODEL)
    assert_usage(answer.usage, exchange)
    assert exchange["target"] in ("/v1/messages", f"/model/{MODEL}/converse")
    assert CLIENT_KEY not in json.dumps(exchange), "the client's key stays in the gateway"


def test_stream(side, marker):
    client, provider = side
    asked = request(marker, stream=True, stream_options={"include_usage": True})
    chunks = list(client.chat.completions.create(**asked, extra_headers={"x-mock-chunks": "20"}))
    exchange = provider.asked(marker)
    *parts, last = chunks
    deltas = [part.choices[0].delta.content for part in parts if part.choices[0].delta.content]
    assert (len(deltas), "".join(deltas)) == (20, exchange["content"])
    assert [part.choices[0].finish_reason for part in parts if part.choices[0].finish_reason] == ["stop"]
    assert last.choices == []
    assert_usage(last.usage, exchange)
    assert exchange["outcome"] == "complete"


def test_a_stream_has_no_usage_that_nobody_asked_for(side, marker):
    client, _ = side
    assert all(chunk.choices for chunk in client.chat.completions.create(**request(marker), stream=True))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tool_call(side, marker, stream):
    client, provider = side
    asked = request(marker, tools=[TOOL], tool_choice="required")
    if stream:
        with client.chat.completions.stream(**asked) as running:
            answer = running.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    (called,) = choice.message.tool_calls
    assert (called.function.name, json.loads(called.function.arguments)) == ("get_weather", {})
    assert called.id
    sent = json.loads(provider.asked(marker)["body"])
    if "toolConfig" in sent:
        (described,) = sent["toolConfig"]["tools"]
        assert described["toolSpec"]["inputSchema"] == {"json": TOOL["function"]["parameters"]}
        assert sent["toolConfig"]["toolChoice"] == {"any": {}}
    else:
        assert {name: sent[name] for name in ANTHROPICS} == ANTHROPICS


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_the_providers_errors_are_in_the_clients_protocol(side, marker, status, error, stream):
    client, provider = side
    headers = {"x-mock-status": str(status), "x-mock-retry-after": "7"}
    with pytest.raises(error) as raised:
        client.chat.completions.create(**request(marker), stream=stream, extra_headers=headers)
    assert raised.value.status_code == status
    assert raised.value.body["message"] == f"The mock was asked to answer {status}."
    assert raised.value.response.headers["retry-after"] == "7"
    assert provider.asked(marker)["status"] == status


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_stream_raises_and_does_not_look_finished(side, marker, end):
    client, provider = side
    knobs = {"x-mock-chunks": "40", "x-mock-chunk-bytes": "32", "x-mock-chunk-delay-ms": "5"}
    knobs |= {"x-mock-cut-after": "3000", "x-mock-cut-with": end}
    text, reasons = "", []
    with pytest.raises(openai.APIError):
        for chunk in client.chat.completions.create(**request(marker), stream=True, extra_headers=knobs):
            text += chunk.choices[0].delta.content or ""
            reasons.append(chunk.choices[0].finish_reason)
    exchange = provider.asked(marker)
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any(reasons), "a cut answer must not say why it finished"


def test_a_cut_reply_raises(side, marker):
    client, provider = side
    with pytest.raises(openai.APIError):
        client.chat.completions.create(**request(marker), extra_headers={"x-mock-cut-after": "150"})
    assert provider.asked(marker)["outcome"] == "cut"


def test_embeddings_of_vertex_ai(gateway):
    texts = ["one text", "another"]
    asked = {"instances": [{"content": text} for text in texts]}
    values = [[0.5, -0.25], [0.125, 1.0]]
    counts = [2, 1]
    predictions = [
        {"embeddings": {"values": vector, "statistics": {"token_count": count, "truncated": False}}}
        for vector, count in zip(values, counts, strict=True)
    ]
    place = "/v1/projects/p/locations/europe-west1/publishers/google/models/text-embedding-005:predict"
    provider = gateway.scripted("predict", [(place, asked, 200, {"predictions": predictions})])
    conf = {"provider_conf": {"project_id": "p", "region": "europe-west1"}}
    gateway.route("to-vertex", "/to-vertex/*", "vertex-ai", provider, **conf)
    with openai.OpenAI(base_url=f"{gateway.root}/to-vertex/v1", api_key=CLIENT_KEY, max_retries=0) as client:
        for encoding in ({}, {"encoding_format": "float"}):
            answer = client.embeddings.create(model="text-embedding-005", input=texts, **encoding)
            assert [one.embedding for one in answer.data] == values, encoding
            assert answer.usage.prompt_tokens == answer.usage.total_tokens == sum(counts)
