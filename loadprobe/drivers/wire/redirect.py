"""Reading of MOVED and ASK replies. Pure."""

import re

from loadprobe.config.keys import LARGEST_PORT
from loadprobe.core.topology.slots import SLOTS

_REDIRECT = re.compile(r"\w+ (?P<slot>\d{1,5}) (?P<host>\S*):(?P<port>\d{1,5})(?!\d)")


def parse_redirect(text: str, asked_host: str) -> tuple[int, str, int] | None:
    """Return (slot, host, port) of ``MOVED 866 127.0.0.1:7302``; None if it is not one.

    An empty host means the host that was asked (Redis 7 cluster spec), and so does "?"
    (hostnames are preferred and the node has none; observed with redis 7.0.15).
    """
    match = _REDIRECT.match(text)
    if match is None or not 0 < int(match["port"]) <= LARGEST_PORT:
        return None
    host = match["host"].strip("[]")
    known = asked_host if host in ("", "?") else host
    return int(match["slot"]) % SLOTS, known, int(match["port"])
