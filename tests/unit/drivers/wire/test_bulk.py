"""A connection for many commands: replies in order, whatever pieces they come in."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.drivers import resp
from loadprobe.drivers.wire.bulk import BulkCommand, BulkConnection


class Wire:
    """What a connection writes to."""

    def __init__(self) -> None:
        self.written = b""
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written += data

    def abort(self) -> None:
        """Take note of the end."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Tell whether it has ended."""
        return self.is_closed


def connected() -> tuple[BulkConnection, Wire]:
    """Return an open connection."""
    connection, wire = BulkConnection(), Wire()
    connection.connection_made(cast("asyncio.Transport", wire))
    return connection, wire


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_replies_come_in_order_in_any_pieces(sizes: list[int]) -> None:
    """Each batch has its own replies, errors among them."""

    async def main() -> None:
        connection, _ = connected()
        batches = [connection.batch(b"x", 3), connection.batch(b"y", 2)]
        data = b"$-1\r\n:7\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n-WRONGTYPE x\r\n+OK\r\n"
        at = 0
        for size in sizes * len(data):
            connection.data_received(data[at : at + size])
            at += size
            if at >= len(data):
                break
        first, second = [await batch for batch in batches]
        assert first == [None, 7, [b"a", b"b"]]
        assert str(second[0]) == "WRONGTYPE x"
        assert second[1] == b"OK"

    asyncio.run(main())


async def test_nobody_waits_for_what_will_not_come() -> None:
    """What is under way ends with the connection, and nothing more is sent."""
    connection, wire = connected()
    waiting = connection.batch(b"x", 1)
    wire.abort()
    connection.connection_lost(None)
    with pytest.raises(ConnectionResetError):
        await waiting
    with pytest.raises(ConnectionResetError):
        await connection.batch(b"x", 1)
    assert wire.written == b"x"
    assert not BulkConnection().is_open


@pytest.mark.parametrize("data", [b"+OK\r\n", b"?\r\n"])
async def test_what_nobody_asked_for_ends_it(data: bytes) -> None:
    """A reply too many, and what is no reply: nothing could be matched afterwards."""
    connection, wire = connected()
    connection.data_received(data)
    assert wire.is_closed


async def test_a_reply_without_end_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is kept up to a bound; many replies that each fit are not one."""
    monkeypatch.setattr("loadprobe.drivers.wire.bulk._MOST_REPLY_BYTES", 1_000)
    connection, wire = connected()
    batch = connection.batch(b"x", 500)
    for _ in range(500):
        connection.data_received(b"$5\r\nvalue\r\n")
    assert len(await batch) == 500
    assert not wire.is_closed
    waiting = connection.batch(b"x", 1)
    connection.data_received(b"$2000000000\r\n")
    for _ in range(9):
        connection.data_received(b"x" * 100)
    assert not wire.is_closed
    connection.data_received(b"x" * 100)
    assert wire.is_closed
    waiting.cancel()


@given(st.lists(st.binary(max_size=9), min_size=1), st.lists(st.binary(max_size=9)))
def test_a_command_is_encoded_for_all_keys(
    keys: list[bytes], after: list[bytes]
) -> None:
    """It is what each would be by itself."""
    command: Any = BulkCommand((b"XINFO", b"STREAM"), tuple(after))
    each = [resp.encode(b"XINFO", b"STREAM", key, *after) for key in keys]
    assert command.of(list(map(resp.encode_bulk, keys))) == b"".join(each)
