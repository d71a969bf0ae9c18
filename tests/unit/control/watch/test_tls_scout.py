"""The port that servers tell for TLS, as far as it is one."""

from typing import Any

import pytest

from loadprobe.config.keys import Target
from loadprobe.control.watch.tls_scout import TlsScout


class Asked:
    """A connection that answers."""

    def __init__(self, reply: object) -> None:
        self._reply = reply

    async def request(self, _command: bytes) -> object:
        """Return the reply."""
        return self._reply

    def abort(self) -> None:
        """End it."""


@pytest.mark.parametrize(
    ("reply", "port"),
    [
        ([b"tls-port", b"7777"], 7777),
        ([b"tls-port", b"0"], None),
        ([b"tls-port", b"many"], 6380),
        ([b"tls-port", b"9" * 5_000], 6380),
        ([b"tls-port", []], 6380),
        ([b"tls-port"], 6380),
        (5, 6380),
    ],
)
async def test_what_is_no_port_is_none(reply: object, port: int | None) -> None:
    """Then it is the one of the configuration."""
    scout: Any = TlsScout(Target("127.0.0.1", port=6379, tls_port=6380))
    scout._asking = Asked(reply)
    assert await scout._find_port() == port
