"""The section ``[remote_write]``: where single milliseconds are sent, and as whom."""

import re
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from loadprobe.config.addresses import check_url, is_loopback
from loadprobe.config.secret_refs import read_secret
from loadprobe.errors import ConfigError

SECTION = "remote_write"

_Text = Annotated[str, Meta(min_length=1)]
_Labels = Annotated[
    dict[str, str], Meta(description='a table of label name = "label value"')
]
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_OWN_LABELS = frozenset({"cluster", "lane", "shard", "op", "outcome"})


class RemoteWrite(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receiver of Prometheus' remote write, and how it is written to.

    Args:
        url: of the receiver, with its path.
        username: of a login by password.
        password_file: file whose first line is the password.
        password_env: name of the environment variable that holds the password.
        bearer_token_file: file whose first line is a token.
        sigv4: sign requests for Amazon Managed Service for Prometheus.
        region: AWS region to sign for.
        ca_file: PEM file of the certificate authorities to trust (default: system).
        cert_file: client certificate, with ``key_file``.
        queue_samples: samples that may wait; older ones make room.
        batch_samples: samples of one request at most.
        timeout_ms: a request without an answer is given up after this.
        extra_labels: label -> value, of every series.
    """

    url: _Text
    username: _Text | None = None
    password_file: _Text | None = None
    password_env: _Text | None = None
    bearer_token_file: _Text | None = None
    sigv4: bool = False
    region: _Text | None = None
    ca_file: _Text | None = None
    cert_file: _Text | None = None
    key_file: _Text | None = None
    queue_samples: Annotated[int, Meta(ge=1_000, le=10_000_000)] = 500_000
    batch_samples: Annotated[int, Meta(ge=1, le=50_000)] = 5_000
    timeout_ms: Annotated[int, Meta(ge=100, le=120_000)] = 10_000
    extra_labels: _Labels = {}

    def read_password(self) -> str | None:
        """Return the password, or None if there is none.

        Raises:
            ConfigError: the file or environment variable is missing or empty.
        """
        return read_secret(
            SECTION, "password", file=self.password_file, env=self.password_env
        )

    def read_bearer_token(self) -> str | None:
        """Return the token, or None if there is none.

        Raises:
            ConfigError: the file is missing or empty, or has something else in it.
        """
        text = read_secret(SECTION, "bearer_token", file=self.bearer_token_file)
        if text is None:
            return None
        token = text.strip()
        if not token or not all("!" <= character <= "~" for character in token):
            raise ConfigError(
                f"{SECTION}.bearer_token_file",
                f"{self.bearer_token_file!r} has no token in line 1; a token is "
                "printable ASCII without spaces",
            )
        return token


def check_remote_write(remote: RemoteWrite, at: str) -> None:
    """Check what no single key can tell.

    Args:
        remote: the section.
        at: its place, for messages.

    Raises:
        ConfigError: keys do not fit together.
    """
    _check_url(remote, f"{at}.url")
    _check_login(remote, at)
    if (remote.cert_file is None) != (remote.key_file is None):
        raise ConfigError(at, "cert_file and key_file belong together: give both")
    for name, value in remote.extra_labels.items():
        if not _LABEL.fullmatch(name) or name.startswith("__") or not value:
            raise ConfigError(
                f"{at}.extra_labels",
                f"{name!r} = {value!r} is no label; a name is letters, digits and _, "
                "and begins with a letter or one _; a value is not empty",
            )
        if name in _OWN_LABELS:
            raise ConfigError(
                f"{at}.extra_labels", f"{name!r} is a label of the samples; rename it"
            )
    if remote.batch_samples > remote.queue_samples:
        raise ConfigError(
            f"{at}.batch_samples",
            f"{remote.batch_samples} is more than queue_samples, "
            f"{remote.queue_samples}; lower it",
        )


def _check_url(remote: RemoteWrite, at: str) -> None:
    expected = (
        'expected "https://host:port/path", without user, password and query '
        "(logins are keys of their own)"
    )
    check_url(remote.url, at, expected=expected, what="a receiver")
    is_plain = urlsplit(remote.url).scheme == "http"
    if is_plain and (remote.ca_file or remote.cert_file):
        raise ConfigError(
            at, 'ca_file and cert_file need "https://"; remove them, or change it'
        )
    has_login = remote.username is not None or remote.bearer_token_file is not None
    if is_plain and has_login and not is_loopback(remote.url):
        raise ConfigError(
            at, 'a login over "http://" can be read on its way; change it to "https://"'
        )


def _check_login(remote: RemoteWrite, at: str) -> None:
    has_password = remote.password_file is not None or remote.password_env is not None
    if remote.password_file is not None and remote.password_env is not None:
        raise ConfigError(at, "give password_file or password_env, not both")
    if (remote.username is not None) != has_password:
        raise ConfigError(
            f"{at}.username",
            "a login is a username with password_file or password_env beside it",
        )
    if ":" in (remote.username or ""):
        raise ConfigError(f"{at}.username", "a name with a colon cannot be sent")
    if has_password + (remote.bearer_token_file is not None) + remote.sigv4 > 1:
        raise ConfigError(
            at, "give one of username, bearer_token_file and sigv4, not several"
        )
    if remote.sigv4 != (remote.region is not None):
        raise ConfigError(f"{at}.region", "sigv4 = true and region belong together")
