"""Fixtures: one gateway for the session, and a client that never tries twice."""

import uuid

import openai
import pytest

from gateway import CLIENT_KEY, Gateway


@pytest.fixture(scope="session")
def gateway(tmp_path_factory):
    """A gateway with a mock provider behind it."""
    running = Gateway(tmp_path_factory.mktemp("a6"))
    yield running
    running.stop()


@pytest.fixture
def client(gateway):
    """The SDK as a user has it, its base URL apart; retries would hide what the gateway answered."""
    with openai.OpenAI(base_url=gateway.url, api_key=CLIENT_KEY, max_retries=0, timeout=20) as one:
        yield one


@pytest.fixture
def marker():
    """A word by which the ledger finds this test's request."""
    return f"marker-{uuid.uuid4().hex}"
