"""The assertion by which a6 asks Google for a token is one that Google's own library takes, and the token opens Vertex AI."""

import datetime
import json
import urllib.parse

import google.auth.exceptions
import google.auth.jwt
import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from gateway import CLIENT_KEY

EMAIL = "a6@project.iam.gserviceaccount.com"
MODEL = "google/gemini-2.5-flash"
PLACE = {"provider_conf": {"project_id": "p", "region": "europe-west1"}}


def key_and_certificate():
    """A private key, and a certificate of its public one, as Google shows it of each service account; both in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, EMAIL)])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return private.decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="module")
def account():
    """A service account's file, but for its `token_uri`, and its certificate."""
    private, certificate = key_and_certificate()
    return {"type": "service_account", "client_email": EMAIL, "private_key": private, "private_key_id": "k1"}, certificate


@pytest.fixture(scope="module")
def vertex(gateway, account, tmp_path_factory):
    """A mock that gives tokens to the account and answers only who has one."""
    file = tmp_path_factory.mktemp("google") / "account.json"
    file.write_text(json.dumps(account[0]))
    return gateway.mock("google", "--require-google-account", str(file))


def client_of(gateway, vertex, name, account):
    """OpenAI's SDK, at a route of its own to Vertex AI with that account."""
    text = json.dumps({**account, "token_uri": f"{vertex.url}/token"})
    auth = {"gcp": {"service_account_json": text}}
    gateway.route(name, f"/{name}/*", "vertex-ai", vertex, auth=auth, **PLACE)
    return openai.OpenAI(base_url=f"{gateway.root}/{name}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=20)


def assertions(vertex):
    """The assertions that came to the token endpoint, and what it said to each."""
    for exchange in vertex.exchanges():
        if exchange["target"] == "/token":
            form = urllib.parse.parse_qs(exchange["body"], strict_parsing=True)
            assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
            yield form["assertion"][0], exchange["status"]


def messages(marker):
    return [{"role": "user", "content": f"Say something about {marker}, please."}]


def test_googles_library_takes_our_assertion(gateway, vertex, account, marker):
    with client_of(gateway, vertex, "vertex", account[0]) as client:
        answer = client.chat.completions.create(model=MODEL, messages=messages(marker))
        chunks = list(client.chat.completions.create(model=MODEL, messages=messages("a stream"), stream=True))
    exchange = vertex.asked(marker)
    assert answer.choices[0].message.content == exchange["content"]
    assert chunks[-1].choices[0].finish_reason == "stop"
    place = "/v1beta1/projects/p/locations/europe-west1/endpoints/openapi/chat/completions"
    assert exchange["target"] == place
    assert dict(exchange["headers"])["authorization"].startswith("Bearer ya29.mock-")

    ((assertion, status),) = assertions(vertex)
    assert status == 200, "one token serves both requests"
    audience = f"{vertex.url}/token"
    claims = google.auth.jwt.decode(assertion, certs=account[1], audience=audience)
    assert (claims["iss"], claims["aud"]) == (EMAIL, audience)
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-platform"
    assert claims["exp"] - claims["iat"] == 3600
    header = google.auth.jwt.decode_header(assertion)
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")

    _, of_another = key_and_certificate()
    with pytest.raises(google.auth.exceptions.GoogleAuthError):
        google.auth.jwt.decode(assertion, certs=of_another, audience=audience)
    with pytest.raises(google.auth.exceptions.GoogleAuthError):
        google.auth.jwt.decode(assertion, certs=account[1], audience="https://oauth2.googleapis.com/token")


def test_an_account_that_google_does_not_know_is_told(gateway, vertex, account, marker):
    private, _ = key_and_certificate()
    with client_of(gateway, vertex, "vertex-unknown", {**account[0], "private_key": private}) as client:
        with pytest.raises(openai.InternalServerError) as raised:
            client.chat.completions.create(model=MODEL, messages=messages(marker))
    assert raised.value.status_code == 500
    words = raised.value.response.json()["error_msg"]
    assert words.startswith("failed to get gcp access token: ") and vertex.url.removeprefix("http://") in words
    assert not any(marker in exchange["body"] for exchange in vertex.exchanges())
