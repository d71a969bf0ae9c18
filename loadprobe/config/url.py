"""An endpoint as a URL: ``redis://user@host:port``, ``rediss://`` with TLS. Pure.

A password in a command is seen by every user of the machine (``ps``) and stays in the
shell's history, so none is taken from a URL.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from loadprobe.errors import ConfigError

DEFAULT_PORT = 6379
_PLAIN = frozenset({"redis", "valkey"})
_TLS = frozenset({"rediss", "valkeys"})
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_EXPECTED = 'expected "redis://host:port", or "rediss://host:port" for TLS'


@dataclass(frozen=True, slots=True)
class UrlEndpoint:
    """What a URL says of an endpoint.

    Args:
        host: name or address.
        port: its port.
        tls: whether TLS is spoken there.
        username: the user to log in as, None if none is named.
    """

    host: str
    port: int = DEFAULT_PORT
    tls: bool = False
    username: str | None = None


def is_url(text: str) -> bool:
    """Tell whether a text is a URL of any kind, and no path of a file."""
    return _URL.match(text) is not None


def parse_url(text: str, *, where: str) -> UrlEndpoint:
    """Return the endpoint that a URL names.

    Args:
        text: the URL.
        where: how it was given, for messages.

    Raises:
        ConfigError: it is no URL of an endpoint, or there is a password in it. The
            value is not shown.
    """
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ConfigError(where, f"not the URL of an endpoint; {_EXPECTED}") from exc
    if parts.password is not None:
        raise ConfigError(
            where,
            "there is a password in the URL, which every user of this machine can see "
            "(ps) and the shell keeps; change it, leave it out, and give "
            "--password-env NAME or --password-file FILE",
        )
    if parts.scheme not in _PLAIN | _TLS or not host or port == 0:
        raise ConfigError(where, f"not the URL of an endpoint; {_EXPECTED}")
    if parts.path not in ("", "/", "/0") or parts.query or parts.fragment:
        raise ConfigError(
            where,
            "a URL ends after host and port: what is measured is database 0, and the "
            "rest is said by options (see loadprobe run --help)",
        )
    return UrlEndpoint(
        host=host,
        port=port or DEFAULT_PORT,
        tls=parts.scheme in _TLS,
        username=unquote(parts.username) if parts.username else None,
    )


def parse_endpoint(text: str, *, where: str) -> UrlEndpoint:
    """Return the endpoint that a URL, ``host:port`` or ``host`` names.

    Raises:
        ConfigError: it is none of them.
    """
    if is_url(text):
        return parse_url(text, where=where)
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"  # an IPv6 address alone
    return parse_url(f"redis://{text}", where=where)
