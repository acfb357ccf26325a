"""What a user of Anthropic's official SDK for Python sees through a6, where the provider speaks the same protocol.

The truth is the mock provider's ledger, or the script that the provider plays.
"""

import json

import anthropic
import pytest

from events import typed
from gateway import CLIENT_KEY, PROVIDER_KEY

MODEL = "claude-of-the-mock"
TOOL = {
    "name": "get_weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}


def request(marker, **more):
    messages = [{"role": "user", "content": f"Say something about {marker}, please."}]
    return {"model": MODEL, "max_tokens": 100, "messages": messages, **more}


def assert_usage(usage, exchange):
    """The SDK's usage is what the provider counted."""
    assert exchange["prompt_tokens"] > 0 and exchange["completion_tokens"] > 0, exchange
    counted = (exchange["prompt_tokens"], exchange["completion_tokens"])
    assert (usage.input_tokens, usage.output_tokens) == counted


def test_message(claude, gateway, marker):
    body = request(marker, system="Be brief.")
    answer = claude.messages.create(**body)
    exchange = gateway.ledger(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert [(block.type, block.text) for block in answer.content] == [("text", exchange["content"])]
    assert (answer.role, answer.stop_reason, answer.model) == ("assistant", "end_turn", MODEL)
    assert_usage(answer.usage, exchange)
    assert exchange["target"] == "/v1/messages"
    assert json.loads(exchange["body"]) == body
    sent = dict(exchange["headers"])
    assert sent["x-api-key"] == PROVIDER_KEY
    assert sent["anthropic-version"] == claude.default_headers["anthropic-version"]
    assert CLIENT_KEY not in json.dumps(exchange), "the client's key stays in the gateway"


def test_the_providers_request_id_arrives(claude, marker):
    answer = claude.messages.create(**request(marker))
    assert answer._request_id.startswith("req_mock_")


def test_stream(claude, gateway, marker):
    events = list(claude.messages.create(**request(marker), stream=True, extra_headers={"x-mock-chunks": "20"}))
    exchange = gateway.ledger(marker)
    deltas = [event.delta.text for event in events if event.type == "content_block_delta"]
    assert (len(deltas), "".join(deltas)) == (20, exchange["content"])
    assert [event.type for event in events if event.type != "content_block_delta"] == [
        "message_start",
        "content_block_start",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0].message.usage.input_tokens == exchange["prompt_tokens"]
    assert events[-2].usage.output_tokens == exchange["completion_tokens"]
    assert exchange["outcome"] == "complete"


def test_the_sdk_puts_a_stream_together(claude, gateway, marker):
    with claude.messages.stream(**request(marker)) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    exchange = gateway.ledger(marker)
    assert text == answer.content[0].text == exchange["content"]
    assert answer.stop_reason == "end_turn"
    assert_usage(answer.usage, exchange)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_tool_call(claude, gateway, marker, stream):
    body = request(marker, tools=[TOOL], tool_choice={"type": "tool", "name": "get_weather"})
    if stream:
        with claude.messages.stream(**body) as running:
            answer = running.get_final_message()
    else:
        answer = claude.messages.create(**body)
    (block,) = answer.content
    assert (block.type, block.name, block.input) == ("tool_use", "get_weather", {})
    assert answer.stop_reason == "tool_use"
    sent = json.loads(gateway.ledger(marker)["body"])
    assert (sent["tools"], sent["tool_choice"]) == (body["tools"], body["tool_choice"])


def test_the_result_of_a_tool_is_passed_on(claude, gateway, marker):
    body = request(marker, tools=[TOOL])
    call = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Berlin"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]}
    body["messages"] += [{"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    answer = claude.messages.create(**body)
    exchange = gateway.ledger(marker)
    assert answer.content[0].text == exchange["content"]
    assert json.loads(exchange["body"])["messages"] == body["messages"]


ERRORS = [
    (400, "invalid_request_error", anthropic.BadRequestError),
    (401, "authentication_error", anthropic.AuthenticationError),
    (403, "permission_error", anthropic.PermissionDeniedError),
    (404, "not_found_error", anthropic.NotFoundError),
    (429, "rate_limit_error", anthropic.RateLimitError),
    (500, "api_error", anthropic.InternalServerError),
    (529, "overloaded_error", anthropic.APIStatusError),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("status", "kind", "error"), ERRORS)
def test_the_providers_errors_are_the_sdks_exceptions(claude, gateway, marker, status, kind, error, stream):
    headers = {"x-mock-status": str(status), "x-mock-retry-after": "7"}
    with pytest.raises(error) as raised:
        claude.messages.create(**request(marker), stream=stream, extra_headers=headers)
    assert raised.value.status_code == status
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.body["error"]["message"], "the provider's own words arrive"
    assert raised.value.response.headers["retry-after"] == "7"
    assert gateway.ledger(marker)["status"] == status


def test_a_wrong_key_of_the_providers_is_401(gateway, marker):
    gateway.route("bad-key", "/bad-key/*", "anthropic", gateway.provider, auth={"header": {"x-api-key": "wrong"}})
    with anthropic.Anthropic(base_url=f"{gateway.root}/bad-key", api_key=CLIENT_KEY, max_retries=0) as claude:
        with pytest.raises(anthropic.AuthenticationError, match="invalid x-api-key"):
            claude.messages.create(**request(marker))


@pytest.mark.parametrize("end", ["fin", "rst"])
@pytest.mark.parametrize("way", ["events", "put together"])
def test_a_cut_stream_raises_and_does_not_look_finished(claude, gateway, marker, end, way):
    knobs = {"x-mock-chunks": "40", "x-mock-chunk-bytes": "32", "x-mock-chunk-delay-ms": "5"}
    knobs |= {"x-mock-cut-after": "3000", "x-mock-cut-with": end}
    events = []
    with pytest.raises(anthropic.APIError, match="upstream_truncated"):
        if way == "events":
            for event in claude.messages.create(**request(marker), stream=True, extra_headers=knobs):
                events.append(event)
        else:
            with claude.messages.stream(**request(marker), extra_headers=knobs) as stream:
                for event in stream:
                    events.append(event)
    exchange = gateway.ledger(marker)
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any(event.type in ("message_delta", "message_stop") for event in events)


def test_a_cut_reply_raises(claude, gateway, marker):
    headers = {"x-mock-body-bytes": "4000", "x-mock-cut-after": "1000"}
    with pytest.raises(anthropic.APIConnectionError):
        claude.messages.create(**request(marker), extra_headers=headers)
    assert gateway.ledger(marker)["outcome"] == "cut"


# What the mock does not say by itself: thinking with its signature, arguments in pieces, an error within a stream.
USAGE = {"input_tokens": 25, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 4, "output_tokens": 1}
BLOCKS = [
    {"type": "thinking", "thinking": "Two and two.", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3h"},
    {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"},
    {"type": "text", "text": "Four. \U0001f600"},
    {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "S\u00e3o Paulo", "days": 2}},
]
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": MODEL,
    "content": BLOCKS,
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "stop_details": None,
    "usage": {**USAGE, "output_tokens": 60},
}
BEGUN = {**MESSAGE, "content": [], "stop_reason": None, "usage": USAGE}


def block(index, start, *deltas):
    yield {"type": "content_block_start", "index": index, "content_block": start}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


STREAM = typed(
    {"type": "message_start", "message": BEGUN},
    {"type": "ping"},
    *block(
        0,
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "thinking_delta", "thinking": "Two "},
        {"type": "thinking_delta", "thinking": "and two."},
        {"type": "signature_delta", "signature": BLOCKS[0]["signature"]},
    ),
    *block(1, BLOCKS[1]),
    *block(2, {"type": "text", "text": ""}, {"type": "text_delta", "text": BLOCKS[2]["text"]}),
    *block(
        3,
        {**BLOCKS[3], "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city": "S\u00e3o Pa'},
        {"type": "input_json_delta", "partial_json": 'ulo", "days": 2}'},
    ),
    {
        "type": "message_delta",
        "delta": {"stop_reason": "tool_use", "stop_sequence": None},
        "usage": {"output_tokens": 60},
    },
    {"type": "message_stop"},
)
OVERLOADED = typed(
    {"type": "message_start", "message": BEGUN},
    *list(block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Half"}))[:-1],
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
)
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "tools": [TOOL]}
SCRIPTS = [
    ("/v1/messages", request("thinking", **THINKING), 200, MESSAGE),
    ("/v1/messages", request("thinking", **THINKING, stream=True), 200, STREAM),
    ("/v1/messages", request("overloaded", stream=True), 200, OVERLOADED),
    ("/v1/messages", request("quiet", stream=True), 200, STREAM.partition("event: message_stop")[0]),
]


@pytest.fixture(scope="module")
def scripted(gateway):
    """The SDK, at a provider that answers from `SCRIPTS`."""
    provider = gateway.scripted("claude-scripts", SCRIPTS)
    gateway.route("claude-scripts", "/claude-scripts/*", "anthropic", provider)
    with anthropic.Anthropic(base_url=f"{gateway.root}/claude-scripts", api_key=CLIENT_KEY, max_retries=0) as one:
        yield one


def as_sent(answer):
    """A message as JSON, with the members that came and no others."""
    return answer.to_dict(mode="json", exclude_unset=True)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_thinking_and_calls_arrive_with_all_that_is_in_them(scripted, stream):
    if stream:
        with scripted.messages.stream(**request("thinking", **THINKING)) as running:
            answer = running.get_final_message()
    else:
        answer = scripted.messages.create(**request("thinking", **THINKING))
    assert as_sent(answer) == MESSAGE


def test_an_error_within_a_stream_raises(scripted):
    text = ""
    with pytest.raises(anthropic.APIStatusError) as raised:
        for event in scripted.messages.create(**request("overloaded"), stream=True):
            text += event.delta.text if event.type == "content_block_delta" else ""
    assert text == "Half"
    assert raised.value.body["error"] == {"type": "overloaded_error", "message": "Overloaded"}


def test_a_stream_without_its_end_raises(scripted):
    with pytest.raises(anthropic.APIError, match="upstream_truncated"):
        for event in scripted.messages.create(**request("quiet"), stream=True):
            assert event.type != "message_stop"
