"""Fixtures: one gateway for the session, and clients that never try twice."""

import uuid

import anthropic
import openai
import pytest

from gateway import CLIENT_KEY, PROVIDER_KEY, Gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """A gateway with a mock provider behind it."""
    running = Gateway(tmp_path_factory.mktemp("a6"))
    yield running
    running.stop()


@pytest.fixture
def client(gateway):
    """OpenAI's SDK as a user has it, its base URL apart; retries would hide what the gateway answered."""
    with openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
        yield one


@pytest.fixture(scope="session")
def claude_url(gateway):
    """Where Anthropic's SDK finds the mock, in its own protocol."""
    auth = {"header": {"x-api-key": PROVIDER_KEY}}
    gateway.route("claude", "/claude/*", "anthropic", gateway.provider, auth=auth)
    return f"{gateway.root}/claude"


@pytest.fixture
def claude(claude_url):
    """Anthropic's SDK as a user has it."""
    with anthropic.Anthropic(base_url=claude_url, api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
        yield one


@pytest.fixture
def marker():
    """A word by which the ledger finds this test's request."""
    return f"marker-{uuid.uuid4().hex}"
