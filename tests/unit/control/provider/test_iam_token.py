"""Tokens of IAM users: what botocore signs for the request that AWS documents."""

from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn
from urllib.parse import parse_qs, urlsplit

import botocore.auth
import botocore.session
import pytest
from botocore.credentials import (
    Credentials,
    ReadOnlyCredentials,
    RefreshableCredentials,
)
from botocore.exceptions import ClientError
from botocore.model import ServiceId
from botocore.signers import RequestSigner

from loadprobe.config.keys import Target
from loadprobe.control.provider.iam_token import TokenMaker, sign
from loadprobe.errors import PreflightError

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
KEYS = ReadOnlyCredentials(KEY, SECRET, None)
TARGET = Target(host="h", iam_user="app", iam_cache="c", iam_region="eu-central-1")
OF_A_ROLE = KEYS._replace(token="a/session+token==")
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def fixed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the clock of the signer."""
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: AT)


def presigned(keys: ReadOnlyCredentials, query: str) -> str:
    """Return what botocore's own signer of clients makes of the request."""
    session = botocore.session.get_session()
    signer = RequestSigner(
        ServiceId("elasticache"),
        REGION,
        "elasticache",
        "v4",
        Credentials(KEY, SECRET, keys.token),
        session.get_component("event_emitter"),
    )
    request = {
        "method": "GET",
        "url": f"https://my-cache/?{query}",
        "body": {},
        "headers": {},
        "context": {},
    }
    url: str = signer.generate_presigned_url(
        request, operation_name="connect", expires_in=900, region_name=REGION
    )
    return url.removeprefix("https://")


@pytest.mark.parametrize("keys", [KEYS, OF_A_ROLE])
@pytest.mark.parametrize("is_serverless", [False, True])
def test_a_token_is_what_botocore_presigns(
    keys: ReadOnlyCredentials, *, is_serverless: bool
) -> None:
    """For the same time, keys and user both are the same, letter by letter."""
    query = "Action=connect&User=app-user"
    if is_serverless:
        query += "&ResourceType=ServerlessCache"
    token = sign(
        keys,
        user="app-user",
        cache="My-Cache",
        region=REGION,
        is_serverless=is_serverless,
    )
    assert token == presigned(keys, query)


def test_the_form_of_a_token() -> None:
    """Name of the cache in lower case, no scheme, the action, the user, 15 minutes."""
    token = sign(KEYS, user="app", cache="My-Cache", region=REGION)
    assert token.startswith("my-cache/?")
    found = {k: v[0] for k, v in parse_qs(urlsplit(f"//{token}").query).items()}
    signature = found.pop("X-Amz-Signature")
    assert len(signature) == 64
    assert found == {
        "Action": "connect",
        "User": "app",
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": f"AKIDEXAMPLE/20260102/{REGION}/elasticache/aws4_request",
        "X-Amz-Date": "20260102T030405Z",
        "X-Amz-Expires": "900",
        "X-Amz-SignedHeaders": "host",
    }
    assert SECRET not in token


def test_credentials_are_found_as_aws_tools_find_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the environment sign; without any it is told what to set."""
    target = Target(host="h", iam_user="app", iam_cache="c", iam_region=REGION)
    for name in ("AWS_PROFILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    made = TokenMaker(target).make()
    assert made == sign(KEYS, user="app", cache="c", region=REGION)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(PreflightError, match="no AWS credentials are found"):
        TokenMaker(target).make()


@pytest.fixture
def shared_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the credentials file that is the only place with credentials."""
    for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "PROFILE"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
    monkeypatch.delenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    path = tmp_path / "credentials"
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    return path


def keys_text(key: str) -> str:
    """Return the text of a credentials file."""
    return f"[default]\naws_access_key_id = {key}\naws_secret_access_key = {SECRET}\n"


def test_a_credentials_file_that_changes_is_read_again(shared_file: Path) -> None:
    """Whoever renews the keys of a file does so for a run that lasts, too."""
    maker = TokenMaker(TARGET)
    shared_file.write_text(keys_text(KEY))
    assert maker.make() == sign(KEYS, user="app", cache="c", region=REGION)
    for trouble in ("[default", "[default]\naws_access_key_id = x\n", "[other]\n"):
        shared_file.write_text(trouble)  # half written
        with pytest.raises(PreflightError, match="no AWS credentials"):
            maker.make()
    shared_file.write_text(keys_text("AKIDOTHER"))
    others = KEYS._replace(access_key="AKIDOTHER")
    assert maker.make() == sign(others, user="app", cache="c", region=REGION)


def test_credentials_that_renew_themselves_are_found_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are asked for elsewhere, and hold for hours: until they fail to."""
    later = datetime(2100, 1, 1, tzinfo=UTC)
    found = [
        RefreshableCredentials(KEY, SECRET, "t", later, dict, "assume-role"),
        RefreshableCredentials(KEY, SECRET, "t", AT, fail, "assume-role"),
        Credentials("AKIDOTHER", SECRET),
    ]
    monkeypatch.setattr(
        botocore.session.Session, "get_credentials", lambda *_, **__: found.pop(0)
    )
    maker = TokenMaker(TARGET)
    assert maker.make() == maker.make()
    assert len(found) == 2
    maker = TokenMaker(TARGET)
    with pytest.raises(PreflightError, match="it has expired"):
        maker.make()
    # What they were to be renewed by may have changed: they are found anew.
    others = ReadOnlyCredentials("AKIDOTHER", SECRET, None)
    assert maker.make() == sign(others, user="app", cache="c", region=REGION)


EXPIRED = ClientError(
    {"Error": {"Code": "ExpiredTokenException", "Message": "it has expired"}},
    "AssumeRoleWithWebIdentity",
)


def fail() -> NoReturn:
    """Refuse to renew."""
    raise EXPIRED


@pytest.mark.parametrize(
    "trouble",
    [
        EXPIRED,
        FileNotFoundError(2, "No such file or directory", "/var/run/secrets/token"),
        ValueError("it is no JSON"),
        RuntimeError("Credentials were refreshed, but are still expired."),
    ],
    ids=["sts", "file", "text", "still-expired"],
)
def test_credentials_of_a_role_that_cannot_be_renewed_are_no_defect(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """Whatever stands against it is told in one line; a run goes on and tries again."""

    def renew() -> NoReturn:
        raise trouble

    role = RefreshableCredentials(KEY, SECRET, "t", AT, renew, "assume-role")
    monkeypatch.setattr(
        botocore.session.Session, "get_credentials", lambda *_, **__: role
    )
    target = Target(host="h", iam_user="app", iam_cache="c", iam_region=REGION)
    with pytest.raises(PreflightError, match="target.iam_user: no AWS credentials: "):
        TokenMaker(target).make()
