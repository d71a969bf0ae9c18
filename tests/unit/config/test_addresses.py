"""Addresses: of the target, of the API, of a receiver of samples."""

import pytest

from loadprobe.config.keys import Target, with_endpoint
from loadprobe.errors import ConfigError
from tests.support.configurations import SMALLEST, with_environment


@pytest.mark.parametrize(
    "host", ["db", "db.example.com.", "10.0.0.1", "::1", "my_host", "xn--e1afmkfd.net"]
)
def test_hosts(host: str) -> None:
    """Names and addresses of both families are hosts."""
    text = SMALLEST.replace("db.example.com", host)
    assert with_environment(text).target.host == host


def test_addresses() -> None:
    """The address map takes names, IPv4 and IPv6 addresses."""
    text = SMALLEST.replace(
        "\n\n",
        '\naddress_map = { "[::1]:1" = "a:2", "10.0.0.1:1" = "[::1]:65535" }\n\n',
    )
    assert len(with_environment(text).target.address_map) == 2


def test_the_endpoint_may_be_asked_of_the_api() -> None:
    """With a [control] section there need not be a host; its endpoint is put in."""
    text = '[target]\ncluster = false\n[control]\nreplication_group = "g"\n'
    config = with_environment(text + '[[lanes]]\nname = "tcp"\n')
    assert config.target.host == ""
    resolved = with_endpoint(config, "db.example.com", 6380)
    assert resolved.target == Target("db.example.com", port=6380, cluster=False)
    assert resolved.lanes == config.lanes


def test_an_endpoint_is_that_of_one_transport() -> None:
    """Another endpoint for TLS lanes leaves the port of the others as it is."""
    target = Target("h", port=1)
    assert target.at(tls=True, host="h", port=2) == Target("h", port=1, tls_port=2)
    assert target.at(tls=False, host="g", port=3) == Target("g", port=3)
    assert (target.port_of(tls=True), target.port_of(tls=False)) == (1, 1)
    assert Target("h", port=1, tls_port=2).port_of(tls=True) == 2


@pytest.mark.parametrize(
    "url",
    [
        "prometheus.example.com/api/v1/write",
        "ftp://prometheus.example.com/",
        "https:///api/v1/write",
        "https://prometheus.example.com:x/",
        "https://prometheus.example.com:70000/",
        "https://prometheus.example.com:0/",
        "https://[::1/",
        "https://prometheus.example.com/a b",
        "https://prometheus.example.com/ä",
        "https://hunter2@prometheus.example.com/",
        "https://@prometheus.example.com/",
        "https://prometheus.example.com/?",
        "https://prometheus.example.com/#hunter2",
        "https://prometheus.example.com/\\r\\nX: y",
    ],
)
def test_what_is_no_receiver(url: str) -> None:
    """An address that cannot be used, or may hold a secret, is refused unseen."""
    with pytest.raises(ConfigError, match="not the address of a receiver") as caught:
        with_environment(f'{SMALLEST}\n[remote_write]\nurl = "{url}"\n')
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://me:hunter2@localhost:1/", "aws.example.com", "https://h/?key=hunter2"],
)
def test_what_is_no_api(url: str) -> None:
    """An endpoint that cannot be used, or may hold a secret, is refused unseen."""
    section = f'[control]\nreplication_group = "rg"\nendpoint_url = "{url}"\n'
    with pytest.raises(ConfigError, match="control.endpoint_url: not the") as caught:
        with_environment(f"{SMALLEST}\n{section}")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "is_refused"),
    [
        ("http://prometheus.example.com/api/v1/write", True),
        ("https://prometheus.example.com/api/v1/write", False),
        ("http://127.0.0.1:9090/api/v1/write", False),
        ("http://localhost:9090/api/v1/write", False),
    ],
)
@pytest.mark.parametrize(
    "login",
    ['username = "me"\npassword_file = "p"', 'bearer_token_file = "t"'],
)
def test_a_login_in_the_open(url: str, login: str, *, is_refused: bool) -> None:
    """A login goes over plain HTTP to this machine alone."""
    text = f'{SMALLEST}\n[remote_write]\nurl = "{url}"\n{login}\n'
    if not is_refused:
        assert with_environment(text).remote_write
        return
    with pytest.raises(ConfigError, match="can be read on its way"):
        with_environment(text)
