"""An endpoint as a URL."""

import pytest

from loadprobe.config.url import UrlEndpoint, is_url, parse_endpoint, parse_url
from loadprobe.errors import ConfigError

SECRET = "hunter2-is-no-secret"


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("redis://127.0.0.1:7000", UrlEndpoint("127.0.0.1", 7000)),
        ("redis://127.0.0.1", UrlEndpoint("127.0.0.1", 6379)),
        ("REDIS://Name.example/", UrlEndpoint("name.example", 6379)),
        ("rediss://h:6380/0", UrlEndpoint("h", 6380, tls=True)),
        ("valkey://h", UrlEndpoint("h")),
        ("valkeys://h", UrlEndpoint("h", tls=True)),
        ("redis://ann%40x@[::1]:7000", UrlEndpoint("::1", 7000, username="ann@x")),
    ],
)
def test_urls(text: str, endpoint: UrlEndpoint) -> None:
    """A URL says host, port, transport and user, as it does to client libraries."""
    assert is_url(text)
    assert parse_url(text, where="here") == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "redis://",
        "redis://:7000",
        "redis://h:0",
        "redis://h:70000",
        "redis://h:x",
        "redis://[::1",
        "http://h",
        "redis://h/1",
        "redis://h?db=1",
        "redis://h#x",
    ],
)
def test_what_is_no_endpoint(text: str) -> None:
    """It is refused in one line, and not taken for something near it."""
    with pytest.raises(ConfigError, match="^here: (not the URL|a URL ends)"):
        parse_url(text, where="here")


@pytest.mark.parametrize("user", ["", "ann"])
def test_no_password_in_a_url(user: str) -> None:
    """It is refused, is not shown again, and the message says how else."""
    with pytest.raises(ConfigError) as caught:
        parse_url(f"redis://{user}:{SECRET}@h", where="here")
    assert SECRET not in str(caught.value)
    assert "--password-env NAME or --password-file FILE" in str(caught.value)
    assert "(ps)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("h", UrlEndpoint("h")),
        ("h:7000", UrlEndpoint("h", 7000)),
        ("::1", UrlEndpoint("::1")),
        ("[::1]:7000", UrlEndpoint("::1", 7000)),
        ("rediss://h", UrlEndpoint("h", tls=True)),
    ],
)
def test_endpoints_without_a_scheme(text: str, endpoint: UrlEndpoint) -> None:
    """Host and port alone are enough where nothing else can be meant."""
    assert parse_endpoint(text, where="here") == endpoint


@pytest.mark.parametrize("text", ["my.toml", "runs/my.toml", "127.0.0.1:7000", ""])
def test_files_are_no_urls(text: str) -> None:
    """What has no scheme is a file."""
    assert not is_url(text)
