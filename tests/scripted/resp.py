"""Encoding of RESP2 replies (Redis serialization protocol specification).

Pure.
"""

from collections.abc import Sequence
from typing import TypeAlias

Reply: TypeAlias = "int | str | bytes | Sequence[Reply] | None"

OK = b"+OK\r\n"
PONG = b"+PONG\r\n"
NIL = b"$-1\r\n"


def error(text: str) -> bytes:
    """Return an error reply."""
    return b"-%b\r\n" % text.encode()


def bulk(value: bytes | None) -> bytes:
    """Return a bulk string, or nil."""
    return NIL if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def encode(reply: Reply) -> bytes:
    """Return an integer, a bulk string (also for str), nil or an array of replies."""
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if reply is None or isinstance(reply, bytes):
        return bulk(reply)
    if isinstance(reply, str):
        return bulk(reply.encode())
    return b"*%d\r\n" % len(reply) + b"".join(map(encode, reply))
