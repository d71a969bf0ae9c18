"""What can be told of an address without asking anybody."""

import ipaddress
from urllib.parse import urlsplit

from loadprobe.errors import ConfigError


def is_loopback(url: str | None) -> bool:
    """Tell whether a URL's host is this machine; None has no host."""
    host = urlsplit(url or "").hostname
    if host is None:
        return False
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_url(url: str, at: str, *, expected: str, what: str) -> None:
    """Check that a URL is one of HTTP, with nothing in it but where to go.

    Args:
        url: what was given.
        at: its key.
        expected: what would have been right.
        what: what it is the address of.

    Raises:
        ConfigError: it is none. The value is not shown: there may be a password in it.
    """
    try:
        parts = urlsplit(url)
        is_usable = (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and parts.port != 0
            and not (parts.username or parts.password or "@" in parts.netloc)
            and not ("?" in url or "#" in url)
            and all("!" <= character <= "~" for character in url)
        )
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ConfigError(at, f"not the address of {what}; {expected}")
