"""Who we are to a receiver: passwords, tokens, signatures, certificates."""

import hashlib
import hmac
import re
from datetime import UTC, datetime
from pathlib import Path

import botocore.auth
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from loadprobe.config.remote_write import RemoteWrite
from loadprobe.errors import ConfigError, PreflightError, RunError
from loadprobe.outputs.remote_write.login import RemoteLogin, check_login
from loadprobe.outputs.remote_write.request import HEADERS
from loadprobe.outputs.remote_write.sender import ask
from tests.scripted.receiver import Request, ScriptedReceiver

URL = (
    "https://aps-workspaces.eu-west-1.amazonaws.com/workspaces/ws-1/api/v1/remote_write"
)
FROZEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
KEY_ID, KEY, TOKEN = "AKIDEXAMPLE", "hunter2-secret-key", "hunter2-session-token"


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Give the environment credentials of AWS, and no other source of them."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    no_credentials(monkeypatch, tmp_path)


def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep botocore from files and the metadata service."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.delenv("AWS_PROFILE", raising=False)


def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep botocore from the environment."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def signed_by_hand(request: Request, *, region: str) -> str:
    """Return the signature of a request as it came, by AWS's own recipe.

    See "Create a signed AWS API request" in the IAM user guide.
    """
    headers = {name.lower(): value for name, value in request.headers.items()}
    found = re.search(r"SignedHeaders=([^,]+)", headers["authorization"])
    assert found is not None
    names = found[1].split(";")
    canonical = "\n".join(
        [
            "POST",
            request.path,
            "",
            *(f"{name}:{headers[name]}" for name in names),
            "",
            found[1],
            hashlib.sha256(request.body).hexdigest(),
        ]
    )
    at = headers["x-amz-date"]
    scope = f"{at[:8]}/{region}/aps/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    key = f"AWS4{KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{digest}"
    return hmac.new(key, text.encode(), "sha256").hexdigest()


@pytest.mark.usefixtures("aws_keys")
def test_the_signature_is_botocores(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one instant, headers are those of botocore's signer for the service aps."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: FROZEN)
    request = AWSRequest("POST", URL, headers=dict(HEADERS), data=b"body")
    keys = Credentials(KEY_ID, KEY, TOKEN)
    SigV4Auth(keys, "aps", "eu-west-1").add_auth(request)
    login = RemoteLogin(RemoteWrite(URL, sigv4=True, region="eu-west-1"))
    headers = login.headers(b"body", HEADERS)
    assert headers == dict(request.headers.items())
    assert headers["X-Amz-Date"] == "20260102T030405Z"
    assert headers["X-Amz-Security-Token"] == TOKEN
    assert headers["Authorization"].startswith(
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260102/eu-west-1/aps/aws4_request, "
    )
    assert login.headers(b"other", HEADERS)["Authorization"] != headers["Authorization"]


@pytest.mark.usefixtures("aws_keys")
async def test_the_signature_holds_for_what_arrives() -> None:
    """Path, host, headers and body are signed as they go over the wire."""
    async with ScriptedReceiver() as receiver:
        reply = await ask(RemoteWrite(receiver.url, sigv4=True, region="us-east-1"))
        (request,) = receiver.requests
    assert reply.text.endswith("204 No Content")
    signature = signed_by_hand(request, region="us-east-1")
    assert request.headers["Authorization"].endswith(f"Signature={signature}")
    assert "host" in request.headers["Authorization"]


def test_without_credentials_nothing_is_signed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Who has none is told where they are looked for."""
    no_credentials(monkeypatch, tmp_path)
    no_keys(monkeypatch)
    login = RemoteLogin(RemoteWrite(URL, sigv4=True, region="eu-west-1"))
    with pytest.raises(RunError, match="check the credentials of this machine"):
        login.headers(b"", HEADERS)
    monkeypatch.setenv("AWS_PROFILE", "missing")
    login = RemoteLogin(RemoteWrite(URL, sigv4=True, region="eu-west-1"))
    with pytest.raises(RunError, match="missing"):
        login.headers(b"", HEADERS)


def test_keys_of_a_file_that_changes_sign_from_then_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever renews the keys of a file does so for a run that lasts, too."""
    no_credentials(monkeypatch, tmp_path)
    no_keys(monkeypatch)
    login = RemoteLogin(RemoteWrite(URL, sigv4=True, region="eu-west-1"))
    for key in ("AKIDFIRST", "AKIDSECOND"):
        text = f"aws_access_key_id = {key}\naws_secret_access_key = {KEY}\n"
        (tmp_path / "credentials").write_text(f"[default]\n{text}")
        assert f"Credential={key}/" in login.headers(b"", HEADERS)["Authorization"]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    """Secrets and certificates are checked before a run, and never shown."""
    check_login(RemoteWrite(URL))
    path = tmp_path / "file"
    for content, key in (
        (b"", "bearer_token_file"),
        (b"hunter2 with spaces\n", "bearer_token_file"),
        (b"hunter2\x00\n", "bearer_token_file"),
        (b"\n", "password_file"),
        (b"\xffhunter2", "password_file"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=f"remote_write.{key}: ") as caught:
            check_login(RemoteWrite(URL, **{key: str(path)}))  # type: ignore[arg-type]
        assert "hunter2" not in str(caught.value)
    missing = str(tmp_path / "missing")
    with pytest.raises(ConfigError, match="cannot read .*missing.*: No such file"):
        check_login(RemoteWrite(URL, bearer_token_file=missing))
    with pytest.raises(PreflightError, match="remote_write.ca_file .*file.*PEM"):
        check_login(RemoteWrite(URL, ca_file=str(path)))
    with pytest.raises(PreflightError, match="remote_write.cert_file .*missing"):
        check_login(RemoteWrite(URL, cert_file=missing, key_file=missing))
