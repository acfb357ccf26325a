"""What a user of Anthropic's official SDK for Python sees through a6, where the provider speaks OpenAI's chat completions.

The truth is the ledger of the mock, or the script that the provider plays: it answers only what a6 should make of the request.
"""

import hashlib
import json

import anthropic
import pytest

from events import data
from gateway import CLIENT_KEY, PROVIDER_KEY

MODEL = "gpt-of-the-mock"
TOOL = {
    "name": "get.weather",
    "description": "The weather in a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
}
# A name that OpenAI refuses has another there, by which it is known in the answer.
FUNCTION_NAME = f"get_weather_{hashlib.sha256(TOOL['name'].encode()).hexdigest()[:8]}"
FUNCTION = {
    "type": "function",
    "function": {
        "name": FUNCTION_NAME,
        "description": TOOL["description"],
        "parameters": TOOL["input_schema"],
    },
}
PIXEL = "iVBORw0KGgo="


def request(marker, **more):
    messages = [{"role": "user", "content": f"Say something about {marker}, please."}]
    return {"model": MODEL, "max_tokens": 100, "messages": messages, **more}


def in_openais_words(body, **more):
    """The same request to OpenAI, of what `request` makes."""
    return {"model": body["model"], "max_completion_tokens": body["max_tokens"], "messages": body["messages"], **more}


def client_at(url):
    return anthropic.Anthropic(base_url=url, api_key=CLIENT_KEY, max_retries=0, timeout=20)


@pytest.fixture(scope="module")
def converted_url(gateway):
    gateway.route("converted", "/converted/*", "openai-compatible", gateway.provider)
    return f"{gateway.root}/converted"


@pytest.fixture
def claude(converted_url):
    """Anthropic's SDK as a user has it, at a provider that does not know its protocol."""
    with client_at(converted_url) as one:
        yield one


def assert_usage(usage, exchange):
    """The SDK's usage is what the provider counted."""
    assert exchange["prompt_tokens"] > 0 and exchange["completion_tokens"] > 0, exchange
    counted = (exchange["prompt_tokens"], exchange["completion_tokens"])
    assert (usage.input_tokens, usage.output_tokens) == counted


def test_message(claude, gateway, marker):
    body = request(marker)
    answer = claude.messages.create(**body)
    exchange = gateway.ledger(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert [(block.type, block.text) for block in answer.content] == [("text", exchange["content"])]
    assert (answer.type, answer.role, answer.stop_reason) == ("message", "assistant", "end_turn")
    assert (answer.model, bool(answer.id)) == (MODEL, True)
    assert_usage(answer.usage, exchange)
    assert exchange["target"] == "/v1/chat/completions"
    assert json.loads(exchange["body"]) == in_openais_words(body)


def test_nothing_of_the_clients_protocol_reaches_the_provider(claude, gateway, marker):
    claude.messages.create(**request(marker))
    exchange = gateway.ledger(marker)
    sent = dict(exchange["headers"])
    assert sent["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert not [name for name in sent if name.startswith(("anthropic-", "x-stainless-")) or name == "x-api-key"]
    assert CLIENT_KEY not in json.dumps(exchange)


def test_the_clients_key_is_the_providers_where_the_route_has_none(gateway, marker):
    gateway.route("converted-key", "/converted-key/*", "openai-compatible", gateway.provider, auth={})
    url = f"{gateway.root}/converted-key"
    with anthropic.Anthropic(base_url=url, api_key=PROVIDER_KEY, max_retries=0) as claude:
        assert claude.messages.create(**request(marker)).content[0].text == gateway.ledger(marker)["content"]
    with client_at(url) as claude:
        with pytest.raises(anthropic.AuthenticationError) as raised:
            claude.messages.create(**request(f"{marker}-again"))
    assert raised.value.body["error"]["message"] == "Incorrect API key provided."


def test_all_of_a_request_is_converted(claude, gateway, marker):
    call = {"type": "tool_use", "id": "toolu_1", "name": TOOL["name"], "input": {"city": "Berlin"}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "rain"}]}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}
    link = {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.png"}}
    question = f"And {marker}?"
    claude.messages.create(
        model=MODEL,
        max_tokens=4000,
        system=[{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}],
        extra_body={"temperature": 0.5, "top_p": 0.9},
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
        thinking={"type": "enabled", "budget_tokens": 2048},
        tools=[TOOL],
        tool_choice={"type": "auto", "disable_parallel_tool_use": True},
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "What is it?"}, image, link]},
            {"role": "assistant", "content": [{"type": "text", "text": "Let me see."}, call]},
            {"role": "user", "content": [result, {"type": "text", "text": question}]},
        ],
    )
    function = {"name": FUNCTION_NAME, "arguments": '{"city":"Berlin"}'}
    parts = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://pictures.test/a.png"}},
    ]
    sent = json.loads(gateway.ledger(marker)["body"])
    called = sent["messages"][2]["tool_calls"][0]["function"]
    called["arguments"] = json.dumps(json.loads(called["arguments"]), separators=(",", ":"))
    assert sent == {
        "model": MODEL,
        "max_completion_tokens": 4000,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u1",
        "reasoning_effort": "medium",
        "tools": [FUNCTION],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": parts},
            {
                "role": "assistant",
                "content": "Let me see.",
                "tool_calls": [{"id": "toolu_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "toolu_1", "content": "rain"},
            {"role": "user", "content": [{"type": "text", "text": question}]},
        ],
    }


def test_a_schema_for_the_answer_is_converted(claude, gateway, marker):
    inner = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "number"}}}
    schema = {"type": "object", "properties": {"list": {"type": "array", "items": inner}}}
    claude.messages.create(**request(marker), output_config={"format": {"type": "json_schema", "schema": schema}})
    strict = {**inner, "additionalProperties": False, "required": ["a", "b"]}
    strict = {
        "type": "object",
        "properties": {"list": {"type": "array", "items": strict}},
        "additionalProperties": False,
        "required": ["list"],
    }
    described = {"name": "structured_output", "schema": strict, "strict": True}
    sent = json.loads(gateway.ledger(marker)["body"])
    assert sent["response_format"] == {"type": "json_schema", "json_schema": described}


def test_stream(claude, gateway, marker):
    body = request(marker)
    events = list(claude.messages.create(**body, stream=True, extra_headers={"x-mock-chunks": "20"}))
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
    assert events[-2].delta.stop_reason == "end_turn"
    assert_usage(events[-2].usage, exchange)
    assert exchange["outcome"] == "complete"
    asked = in_openais_words(body, stream=True, stream_options={"include_usage": True})
    assert json.loads(exchange["body"]) == asked


def test_the_sdk_puts_a_stream_together(claude, gateway, marker):
    with claude.messages.stream(**request(marker)) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    exchange = gateway.ledger(marker)
    assert text == answer.content[0].text == exchange["content"]
    assert (answer.stop_reason, answer.model) == ("end_turn", MODEL)
    assert_usage(answer.usage, exchange)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("choice", "converted"),
    [
        ({"type": "any"}, "required"),
        ({"type": "tool", "name": TOOL["name"]}, {"type": "function", "function": {"name": FUNCTION_NAME}}),
    ],
    ids=["any", "by name"],
)
def test_tool_call(claude, gateway, marker, choice, converted, stream):
    body = request(marker, tools=[TOOL], tool_choice=choice)
    if stream:
        with claude.messages.stream(**body) as running:
            answer = running.get_final_message()
    else:
        answer = claude.messages.create(**body)
    (block,) = answer.content
    assert (block.type, block.name, block.input) == ("tool_use", TOOL["name"], {})
    assert (answer.stop_reason, bool(block.id)) == ("tool_use", True)
    sent = json.loads(gateway.ledger(marker)["body"])
    assert (sent["tools"], sent["tool_choice"]) == ([FUNCTION], converted)


# The type is the one that the provider gave, as with APISIX.
ERRORS = [
    (400, "invalid_request_error", anthropic.BadRequestError),
    (401, "invalid_request_error", anthropic.AuthenticationError),
    (404, "invalid_request_error", anthropic.NotFoundError),
    (429, "requests", anthropic.RateLimitError),
    (500, "server_error", anthropic.InternalServerError),
]


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(("status", "kind", "error"), ERRORS)
def test_the_providers_errors_are_in_the_clients_protocol(claude, gateway, marker, status, kind, error, stream):
    headers = {"x-mock-status": str(status), "x-mock-retry-after": "7"}
    with pytest.raises(error) as raised:
        claude.messages.create(**request(marker), stream=stream, extra_headers=headers)
    assert raised.value.status_code == status
    assert raised.value.body["type"] == "error"
    assert raised.value.body["error"]["type"] == kind
    assert raised.value.body["error"]["message"] == f"The mock was asked to answer {status}."
    assert raised.value.response.headers["retry-after"] == "7"
    assert gateway.ledger(marker)["status"] == status


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_stream_raises_and_does_not_look_finished(claude, gateway, marker, end):
    knobs = {"x-mock-chunks": "40", "x-mock-chunk-bytes": "32", "x-mock-chunk-delay-ms": "5"}
    knobs |= {"x-mock-cut-after": "3000", "x-mock-cut-with": end}
    events = []
    with pytest.raises(anthropic.APIError, match="upstream_truncated"):
        for event in claude.messages.create(**request(marker), stream=True, extra_headers=knobs):
            events.append(event)
    exchange = gateway.ledger(marker)
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any(event.type in ("message_delta", "message_stop") for event in events)


def test_a_cut_reply_raises(claude, gateway, marker):
    headers = {"x-mock-body-bytes": "4000", "x-mock-cut-after": "1000"}
    with pytest.raises(anthropic.APIError):
        claude.messages.create(**request(marker), extra_headers=headers)
    assert gateway.ledger(marker)["outcome"] == "cut"


# What the mock does not say by itself: reasoning, arguments, cached tokens, other reasons to end, an error within a stream.
CALLS = [
    {"id": "call_1", "type": "function", "function": {"name": FUNCTION_NAME, "arguments": '{"city": "S\u00e3o Paulo"}'}},
    {"id": "call_2", "type": "function", "function": {"name": FUNCTION_NAME, "arguments": '{"city": "Rome"}'}},
]
USAGE = {"prompt_tokens": 30, "completion_tokens": 9, "total_tokens": 39, "prompt_tokens_details": {"cached_tokens": 10}}
BLOCKS = [
    ("thinking", "Two and two."),
    ("text", "Four. \U0001f600"),
    ("tool_use", "call_1", TOOL["name"], {"city": "S\u00e3o Paulo"}),
    ("tool_use", "call_2", TOOL["name"], {"city": "Rome"}),
]


def completion(message, finish):
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice], "usage": USAGE}


def chunk(delta, finish=None):
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": MODEL, "choices": [choice]}


def piece(index, arguments, **begun):
    function = {"arguments": arguments, **({"name": FUNCTION_NAME} if begun else {})}
    return {"tool_calls": [{"index": index, "function": function, **begun}]}


STREAM = [
    chunk({"role": "assistant", "content": ""}),
    chunk({"reasoning_content": "Two "}),
    chunk({"reasoning_content": "and two."}),
    chunk({"content": "Four. "}),
    chunk({"content": "\U0001f600"}),
    chunk(piece(0, "", id="call_1", type="function")),
    chunk(piece(0, '{"city": "S\u00e3o')),
    chunk(piece(0, ' Paulo"}')),
    chunk(piece(1, '{"city": "Rome"}', id="call_2", type="function")),
    chunk({}, "tool_calls"),
    {**chunk({}), "choices": [], "usage": USAGE},
]
ASKED = {"tools": [FUNCTION]}
STREAMED = {"stream": True, "stream_options": {"include_usage": True}}
OVERLOADED = {"error": {"message": "The server is overloaded.", "type": "server_error", "param": None, "code": None}}
CHAT = "/v1/chat/completions"
SCRIPTS = [
    (
        CHAT,
        in_openais_words(request("everything"), **ASKED),
        200,
        completion({"reasoning_content": BLOCKS[0][1], "content": BLOCKS[1][1], "tool_calls": CALLS}, "tool_calls"),
    ),
    (CHAT, in_openais_words(request("everything"), **ASKED, **STREAMED), 200, data(*STREAM, "[DONE]")),
    (CHAT, in_openais_words(request("long")), 200, completion({"content": "Much"}, "length")),
    (
        CHAT,
        in_openais_words(request("long"), **STREAMED),
        200,
        data(chunk({"content": "Much"}), chunk({}, "length"), {**chunk({}), "choices": [], "usage": USAGE}, "[DONE]"),
    ),
    (CHAT, in_openais_words(request("overloaded"), **STREAMED), 200, data(chunk({"content": "Half"}), OVERLOADED)),
    (CHAT, in_openais_words(request("quiet"), **STREAMED), 200, data(chunk({"content": "Half"}))),
]


@pytest.fixture(scope="module")
def scripted(gateway):
    """The SDK, at a provider that answers from `SCRIPTS`."""
    provider = gateway.scripted("converted-scripts", SCRIPTS)
    gateway.route("converted-scripts", "/converted-scripts/*", "openai-compatible", provider)
    with client_at(f"{gateway.root}/converted-scripts") as one:
        yield one


def answered(client, stream, **body):
    """The message, plain or as the SDK puts it together from a stream."""
    if not stream:
        return client.messages.create(**body)
    with client.messages.stream(**body) as running:
        return running.get_final_message()


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_all_of_an_answer_is_converted(scripted, stream):
    answer = answered(scripted, stream, **request("everything", tools=[TOOL]))
    blocks = []
    for block in answer.content:
        if block.type == "tool_use":
            blocks.append((block.type, block.id, block.name, block.input))
        else:
            blocks.append((block.type, getattr(block, block.type)))
    assert blocks == BLOCKS
    assert answer.stop_reason == "tool_use"
    usage = answer.usage
    assert (usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens) == (20, 10, 9)


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_an_answer_that_was_too_long_says_so(scripted, stream):
    answer = answered(scripted, stream, **request("long"))
    assert (answer.content[0].text, answer.stop_reason) == ("Much", "max_tokens")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("overloaded", "The server is overloaded."),
        # The provider's answer ends properly, as HTTP; but nobody said why it ended.
        ("quiet", "upstream_truncated"),
    ],
)
def test_an_error_within_a_stream_raises(scripted, text, words):
    so_far = ""
    with pytest.raises(anthropic.APIError, match=words) as raised:
        for event in scripted.messages.create(**request(text), stream=True):
            so_far += event.delta.text if event.type == "content_block_delta" else ""
            assert event.type not in ("message_delta", "message_stop")
    assert so_far == "Half"
    assert raised.value.body["type"] == "error"
