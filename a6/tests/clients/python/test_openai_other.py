"""OpenAI's official SDK for Python beyond chat completions: responses, embeddings, models; and faults of providers in streams."""

import json

import openai
import pytest

from events import data, typed
from gateway import CLIENT_KEY, PROVIDER_KEY

MODEL = "gpt-4o-mini"
TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def said(marker):
    return f"Say something about {marker}, please."


def assert_usage(usage, exchange):
    """The usage of a response is what the provider counted."""
    prompt, completion = exchange["prompt_tokens"], exchange["completion_tokens"]
    assert prompt > 0 and completion > 0, exchange
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (prompt, completion, prompt + completion)


def test_response(client, gateway, marker):
    answer = client.responses.create(model=MODEL, instructions="Be brief.", input=said(marker))
    exchange = gateway.ledger(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert (answer.output_text, answer.status, answer.model) == (exchange["content"], "completed", MODEL)
    assert_usage(answer.usage, exchange)
    assert exchange["target"] == "/v1/responses"
    assert json.loads(exchange["body"]) == {"model": MODEL, "instructions": "Be brief.", "input": said(marker)}
    assert dict(exchange["headers"])["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert CLIENT_KEY not in json.dumps(exchange), "the client's key stays in the gateway"


def test_streamed_response(client, gateway, marker):
    stream = client.responses.create(
        model=MODEL,
        input=[{"role": "user", "content": said(marker)}],
        stream=True,
        extra_headers={"x-mock-chunks": "20"},
    )
    events = list(stream)
    exchange = gateway.ledger(marker)
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert (len(deltas), "".join(deltas)) == (20, exchange["content"])
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == exchange["content"]
    assert_usage(events[-1].response.usage, exchange)
    assert exchange["outcome"] == "complete"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tool_call_of_a_response(client, gateway, marker, stream):
    answer = client.responses.create(
        model=MODEL, input=said(marker), tools=[TOOL], tool_choice="required", stream=stream
    )
    if stream:
        events = list(answer)
        given = "".join(one.delta for one in events if one.type == "response.function_call_arguments.delta")
        answer = events[-1].response
        assert given == answer.output[0].arguments
    (called,) = answer.output
    assert (called.type, called.name) == ("function_call", "get_weather")
    assert isinstance(json.loads(called.arguments), dict)
    assert json.loads(gateway.ledger(marker)["body"])["tools"] == [TOOL]


def test_the_result_of_a_tool_is_passed_on(client, gateway, marker):
    conversation = [
        {"role": "user", "content": said(marker)},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"city":"Berlin"}'},
        {"type": "function_call_output", "call_id": "call_1", "output": "rain"},
    ]
    answer = client.responses.create(model=MODEL, input=conversation, tools=[TOOL])
    exchange = gateway.ledger(marker)
    assert answer.output_text == exchange["content"]
    assert json.loads(exchange["body"])["input"] == conversation


@pytest.mark.parametrize("what", ["responses", "embeddings"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
def test_the_providers_errors_are_the_sdks_exceptions(client, gateway, marker, what, status, error):
    headers = {"x-mock-status": str(status), "x-mock-retry-after": "7"}
    with pytest.raises(error) as raised:
        getattr(client, what).create(model=MODEL, input=said(marker), extra_headers=headers)
    assert raised.value.status_code == status
    assert isinstance(raised.value.body, dict) and raised.value.body["message"], "the provider's own words arrive"
    assert raised.value.response.headers["retry-after"] == "7"
    assert gateway.ledger(marker)["status"] == status


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_response_raises_and_does_not_look_finished(client, gateway, marker, end):
    knobs = {"x-mock-chunks": "40", "x-mock-chunk-bytes": "32", "x-mock-chunk-delay-ms": "5"}
    stream = client.responses.create(
        model=MODEL,
        input=said(marker),
        stream=True,
        extra_headers={**knobs, "x-mock-cut-after": "4000", "x-mock-cut-with": end},
    )
    events = []
    with pytest.raises(openai.APIError):
        for event in stream:
            if event.type == "error":
                # The SDK gives this event to its user, and raises where there is nothing behind it.
                assert event.code == "upstream_truncated"
            events.append(event)
    exchange = gateway.ledger(marker)
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any(event.type == "response.completed" for event in events)


def test_the_sdk_puts_a_streamed_response_together(client, gateway, marker):
    with client.responses.stream(model=MODEL, input=said(marker)) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        answer = stream.get_final_response()
    exchange = gateway.ledger(marker)
    assert text == answer.output_text == exchange["content"]
    assert_usage(answer.usage, exchange)


def test_embeddings(client, gateway, marker):
    texts = [said(marker), "another text"]
    answer = client.embeddings.create(model="text-embedding-3-small", input=texts, dimensions=4)
    exchange = gateway.ledger(marker)
    assert [(one.index, len(one.embedding)) for one in answer.data] == [(0, 4), (1, 4)]
    assert answer.data[0].embedding != answer.data[1].embedding
    assert sum(number * number for number in answer.data[0].embedding) == pytest.approx(1, abs=1e-3)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == exchange["prompt_tokens"] > 0
    assert exchange["target"] == "/v1/embeddings"
    # The SDK asks for base64 by itself and decodes it.
    sent = json.loads(exchange["body"])
    assert (sent["input"], sent["encoding_format"]) == (texts, "base64")


def test_embeddings_in_either_encoding_are_the_same(client, marker):
    model = "text-embedding-3-small"
    in_base64 = client.embeddings.create(model=model, input=said(marker))
    in_numbers = client.embeddings.create(model=model, input=said(marker), encoding_format="float")
    assert in_base64.data[0].embedding == pytest.approx(in_numbers.data[0].embedding, abs=1e-6)


def test_models(client):
    assert "mock-model" in [model.id for model in client.models.list()]


@pytest.mark.parametrize("retry_after", ["7", "Wed, 21 Oct 2037 07:28:00 GMT"])
def test_when_to_come_back_reaches_the_client(client, marker, retry_after):
    headers = {"x-mock-status": "429", "x-mock-retry-after": retry_after}
    messages = [{"role": "user", "content": said(marker)}]
    with pytest.raises(openai.RateLimitError) as raised:
        client.chat.completions.create(model=MODEL, messages=messages, extra_headers=headers)
    assert raised.value.response.headers["retry-after"] == retry_after
    assert raised.value.code == "rate_limit_exceeded"


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def chat(text, **more):
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], "stream": True, **more}


# What a6 adds to a stream of chat completions, to count the tokens.
USAGE = {"stream_options": {"include_usage": True}}
OVERLOADED = {"message": "The server is overloaded.", "type": "server_error", "param": None, "code": "overloaded"}
RESPONSE = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "model": MODEL,
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
DELTA = {
    "type": "response.output_text.delta",
    "sequence_number": 1,
    "item_id": "msg_1",
    "output_index": 0,
    "content_index": 0,
    "delta": "Half",
    "logprobs": [],
}
FAILED = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "The server is overloaded."}}
SCRIPTS = [
    ("/v1/chat/completions", chat("error", **USAGE), 200, data(chunk({"content": "Half"}), {"error": OVERLOADED})),
    ("/v1/chat/completions", chat("quiet", **USAGE), 200, data(chunk({"content": "Half"}))),
    ("/v1/chat/completions", chat("no reason", **USAGE), 200, data(chunk({"content": "Half"}), chunk({}))),
    (
        "/v1/responses",
        {"model": MODEL, "input": "failed", "stream": True},
        200,
        typed(
            {"type": "response.created", "sequence_number": 0, "response": {**RESPONSE, "status": "in_progress"}},
            DELTA,
            {"type": "response.failed", "sequence_number": 2, "response": FAILED},
        ),
    ),
    (
        "/v1/responses",
        {"model": MODEL, "input": "error", "stream": True},
        200,
        typed(DELTA, {"type": "error", "sequence_number": 2, "code": "overloaded", "message": "Later.", "param": None}),
    ),
]


@pytest.fixture(scope="module")
def scripted(gateway):
    """The SDK, at a provider that answers from `SCRIPTS`."""
    provider = gateway.scripted("openai-scripts", SCRIPTS)
    gateway.route("openai-scripts", "/scripted/*", "openai", provider)
    with openai.OpenAI(base_url=f"{gateway.root}/scripted/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
        yield one


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("error", "The server is overloaded."),
        # The provider's answer ends properly, as HTTP; but nobody said why it ended.
        ("quiet", "ended before its end"),
        ("no reason", "ended before its end"),
    ],
)
def test_an_error_within_a_stream_raises(scripted, text, words):
    said_so_far = ""
    with pytest.raises(openai.APIError, match=words):
        for part in scripted.chat.completions.create(**chat(text)):
            said_so_far += part.choices[0].delta.content or ""
    assert said_so_far == "Half"


def test_a_failed_response_is_told(scripted):
    events = list(scripted.responses.create(model=MODEL, input="failed", stream=True))
    assert [event.type for event in events] == ["response.created", "response.output_text.delta", "response.failed"]
    assert events[-1].response.error.message == FAILED["error"]["message"]


def test_an_error_event_of_a_response_is_told(scripted):
    *begun, error = scripted.responses.create(model=MODEL, input="error", stream=True)
    assert [event.delta for event in begun] == ["Half"]
    assert (error.type, error.code, error.message) == ("error", "overloaded", "Later.")
