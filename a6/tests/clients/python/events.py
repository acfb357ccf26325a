"""Streams as providers send them, for `Gateway.scripted`."""

import json


def data(*chunks):
    """A stream of OpenAI's chat: each chunk as `data`; what is no object, such as `[DONE]`, as it is."""
    return "".join(f"data: {one if isinstance(one, str) else json.dumps(one)}\n\n" for one in chunks)


def typed(*events):
    """A stream whose events are named by their `type`: of Anthropic's Messages, of OpenAI's Responses."""
    return "".join(f"event: {one['type']}\ndata: {json.dumps(one)}\n\n" for one in events)
