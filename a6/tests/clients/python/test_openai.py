"""What a user of OpenAI's official SDK for Python sees through a6.

The truth is the mock provider's ledger: what it received and what it counted, never a constant of this file.
"""

import json

import openai
import pytest

from gateway import CLIENT_KEY, PROVIDER_KEY

MODEL = "gpt-4o-mini"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def messages(marker):
    return [{"role": "user", "content": f"Say something about {marker}, please."}]


def assert_usage(usage, exchange):
    """The SDK's usage is what the provider counted."""
    prompt, completion = exchange["prompt_tokens"], exchange["completion_tokens"]
    assert prompt > 0 and completion > 0, exchange
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (prompt, completion, prompt + completion)


def test_completion(client, gateway, marker):
    answer = client.chat.completions.create(model=MODEL, messages=messages(marker))
    exchange = gateway.ledger(marker)
    assert marker in exchange["content"], "the mock echoes what was said"
    assert answer.choices[0].message.content == exchange["content"]
    assert answer.choices[0].finish_reason == "stop"
    assert answer.model == MODEL
    assert_usage(answer.usage, exchange)
    assert exchange["target"] == "/v1/chat/completions"
    assert json.loads(exchange["body"]) == {"model": MODEL, "messages": messages(marker)}
    sent = dict(exchange["headers"])
    assert sent["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert CLIENT_KEY not in json.dumps(exchange), "the client's key stays in the gateway"


def test_the_providers_headers_arrive(client, gateway, marker):
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=messages(marker))
    assert raw.headers["x-request-id"]
    assert "x-ratelimit-remaining-requests" in raw.headers
    assert raw.parse().choices[0].message.content == gateway.ledger(marker)["content"]


def test_stream(client, gateway, marker):
    stream = client.chat.completions.create(
        model=MODEL, messages=messages(marker), stream=True, extra_headers={"x-mock-chunks": "20"}
    )
    chunks = list(stream)
    exchange = gateway.ledger(marker)
    assert all(chunk.choices for chunk in chunks), "a usage chunk came that nobody asked for"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == exchange["content"]
    assert sum(1 for chunk in chunks if chunk.choices[0].delta.content) == 20
    assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "stop"
    assert exchange["outcome"] == "complete"


def test_stream_with_usage(client, gateway, marker):
    stream = client.chat.completions.create(
        model=MODEL, messages=messages(marker), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    exchange = gateway.ledger(marker)
    assert [bool(chunk.usage) for chunk in chunks].count(True) == 1
    assert chunks[-1].choices == []
    assert_usage(chunks[-1].usage, exchange)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks[:-1]) == exchange["content"]


def test_tool_call(client, gateway, marker):
    answer = client.chat.completions.create(
        model=MODEL, messages=messages(marker), tools=[TOOL], tool_choice="required"
    )
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.function.name for call in choice.message.tool_calls] == ["get_weather"]
    assert isinstance(json.loads(choice.message.tool_calls[0].function.arguments), dict)
    assert json.loads(gateway.ledger(marker)["body"])["tools"] == [TOOL]


def test_streamed_tool_call(client, gateway, marker):
    names, arguments, reasons = "", "", []
    stream = client.chat.completions.create(
        model=MODEL, messages=messages(marker), tools=[TOOL], tool_choice="required", stream=True
    )
    for chunk in stream:
        choice = chunk.choices[0]
        for call in choice.delta.tool_calls or []:
            names += call.function.name or ""
            arguments += call.function.arguments or ""
        reasons += [choice.finish_reason] if choice.finish_reason else []
    assert names == "get_weather"
    assert isinstance(json.loads(arguments), dict)
    assert reasons == ["tool_calls"]
    assert gateway.ledger(marker)["outcome"] == "complete"


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_the_providers_errors_are_the_sdks_exceptions(client, gateway, marker, status, error, stream):
    with pytest.raises(error) as raised:
        client.chat.completions.create(
            model=MODEL, messages=messages(marker), stream=stream, extra_headers={"x-mock-status": str(status)}
        )
    assert raised.value.status_code == status
    assert isinstance(raised.value.body, dict) and raised.value.body["message"], "the provider's own words arrive"
    assert gateway.ledger(marker)["status"] == status


@pytest.mark.parametrize("end", ["fin", "rst"])
def test_a_cut_stream_raises_and_does_not_look_finished(client, gateway, marker, end):
    knobs = {"x-mock-chunks": "40", "x-mock-chunk-bytes": "32", "x-mock-chunk-delay-ms": "5"}
    stream = client.chat.completions.create(
        model=MODEL,
        messages=messages(marker),
        stream=True,
        extra_headers={**knobs, "x-mock-cut-after": "3000", "x-mock-cut-with": end},
    )
    text, reasons = "", []
    with pytest.raises(openai.APIError):
        for chunk in stream:
            text += chunk.choices[0].delta.content or ""
            reasons.append(chunk.choices[0].finish_reason)
    exchange = gateway.ledger(marker)
    assert exchange["outcome"] == "cut"
    assert text and exchange["content"].startswith(text) and text != exchange["content"]
    assert not any(reasons), "a cut answer must not say why it finished"


def test_a_cut_reply_raises(client, gateway, marker):
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(
            model=MODEL,
            messages=messages(marker),
            extra_headers={"x-mock-body-bytes": "4000", "x-mock-cut-after": "1000"},
        )
    assert gateway.ledger(marker)["outcome"] == "cut"
