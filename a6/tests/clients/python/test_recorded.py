"""What OpenAI and Azure once answered, recorded, reaches their official SDK through a6 as it was sent.

The recordings are in `../shared/fixtures`, no part of this repository; `./test python` leaves this file out where they are missing.
"""

import json
import pathlib

import openai
import pytest
import yaml
from openai.types import Completion, CreateEmbeddingResponse, ImagesResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from gateway import CLIENT_KEY

RECORDINGS = pathlib.Path(__file__).parents[5] / "shared/fixtures/recorded-openai"
# By the end of the path: what the SDK makes of an answer, and of an event of a stream.
KINDS = {
    "/chat/completions": (ChatCompletion, ChatCompletionChunk),
    "/embeddings": (CreateEmbeddingResponse, None),
    "/images/generations": (ImagesResponse, None),
    "/completions": (Completion, Completion),
}


def recorded(name):
    """Request and response of a recording."""
    (interaction,) = yaml.safe_load((RECORDINGS / f"{name}.yaml").read_text())["interactions"]
    return interaction["request"], interaction["response"]


# The form of the one with sound in it was not recorded.
NAMES = sorted({file.stem for file in RECORDINGS.glob("*.yaml")} - {"audio-transcription-basic", "azure-chat-basic"})


def test_there_are_recordings():
    assert len(NAMES) > 15, f"{RECORDINGS} has {len(NAMES)}"


@pytest.fixture(scope="module")
def provider(gateway, tmp_path_factory):
    """A provider that answers from the recordings, each asked as it was then, but for what a6 adds and takes away."""
    folder = tmp_path_factory.mktemp("recordings")
    for file in RECORDINGS.glob("*.yaml"):
        recording = yaml.safe_load(file.read_text())
        for interaction in recording["interactions"]:
            interaction["request"]["body"] = as_a6_sends(interaction["request"])
        (folder / file.name).write_text(json.dumps(recording))
    return gateway.mock("recordings", "--replay", str(folder))


def as_a6_sends(request):
    """A stream of chat completions asks for its usage; Azure knows the model by the path."""
    if not request["body"].startswith("{"):
        return request["body"]
    body = json.loads(request["body"])
    if "/chat/" in request["url"] and body.get("stream"):
        body["stream_options"] = {"include_usage": True}
    if "azure.com" in request["url"]:
        del body["model"]
    return json.dumps(body)


@pytest.fixture(scope="module")
def client(gateway, provider):
    gateway.route("recordings", "/recorded/*", "openai", provider)
    # What is passed through keeps its path.
    for number, path in enumerate(["/v1/completions", "/v1/images/generations"]):
        gateway.route(f"recordings-{number}", f"/recorded{path}", "openai", provider, path)
    with openai.OpenAI(base_url=f"{gateway.root}/recorded/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
        yield one


def events(body):
    """The data of the events of a stream, the last one, `[DONE]`, aside."""
    lines = [line.removeprefix("data: ") for line in body.splitlines() if line.startswith("data: ")]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def as_sent(answer):
    """What the SDK made of an answer as JSON, with the members that came and no others."""
    return answer.to_dict(mode="json", exclude_unset=True, warnings=False)


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_arrives(client, name):
    request, response = recorded(name)
    body = json.loads(request["body"])
    path = request["url"].partition("/v1")[2]
    plain, event = next(kinds for end, kinds in KINDS.items() if path.endswith(end))
    if response["code"] >= 400:
        with pytest.raises(openai.APIStatusError) as raised:
            client.post(path, body=body, cast_to=plain)
        assert raised.value.status_code == response["code"]
        assert raised.value.body == json.loads(response["body"])["error"]
    elif body.get("stream"):
        stream = client.post(path, body=body, cast_to=plain, stream=True, stream_cls=openai.Stream[event])
        assert [as_sent(one) for one in stream] == events(response["body"])
    else:
        assert as_sent(client.post(path, body=body, cast_to=plain)) == json.loads(response["body"])


@pytest.mark.parametrize("name", ["chat-basic", "chat-unknown-model"])
def test_the_providers_request_id_arrives(client, name):
    request, response = recorded(name)
    try:
        headers = client.chat.completions.with_raw_response.create(**json.loads(request["body"])).headers
    except openai.APIStatusError as error:
        headers = error.response.headers
    assert [headers["x-request-id"]] == response["headers"]["X-Request-Id"]


def test_azures_sdk_gets_what_azure_answered(gateway, provider):
    request, response = recorded("azure-chat-basic")
    body = json.loads(request["body"])
    path = request["url"].partition("azure.com")[2]
    gateway.route("recorded-azure", "/openai/*", "azure-openai", provider, f"{path}?api-version=2025-01-01-preview")
    with openai.AzureOpenAI(
        azure_endpoint=gateway.root, api_key=CLIENT_KEY, api_version="2025-01-01-preview", max_retries=0
    ) as azure:
        assert as_sent(azure.chat.completions.create(**body)) == json.loads(response["body"])
