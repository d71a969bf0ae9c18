"""Matching replies: whatever they are and however the stream is cut."""

from typing import Any

import hiredis
from hypothesis import given, settings
from hypothesis import strategies as st

from loadprobe.core.columns import Scope
from loadprobe.core.outcome import OpKind
from loadprobe.core.recorder import ScopeRecorder
from loadprobe.core.values import NIL
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection, Pulse

_RECORDER = ScopeRecorder(Scope("tcp", "0001", OpKind.READ))
_REPLIES = st.one_of(
    st.sampled_from(
        [resp.OK_REPLY, NIL, b"-ERR no\r\n", b":1\r\n", b"*2\r\n$-1\r\n+a\r\n"]
    ),
    st.binary(max_size=40).map(resp.encode_bulk),
)
_EXPECTED = st.one_of(
    st.sampled_from([resp.OK_REPLY, NIL]), st.binary(max_size=40).map(resp.encode_bulk)
)


class Ends:
    """Owner of a connection and taker of its replies: notes them in order."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.matched: list[Arrival] = []
        self.ends: list[tuple[int, object]] = []

    def wake(self) -> None:
        """Take note of nothing: what matched is looked at after every chunk."""

    def look(self) -> None:
        """Take what matched."""
        self.ends += ((a.version, resp.parse(a.expect)) for a in self.matched)
        self.matched.clear()

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Take a reply that was not expected; what matched came before it."""
        self.look()
        self.ends.append((arrival.version, reply))

    def error_reply(
        self, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Take an error."""
        self.look()
        self.ends.append((arrival.version, str(error)))

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Never called: nothing is lost."""
        raise NotImplementedError


def _arrival(number: int, expect: bytes) -> Arrival:
    arrival: Any = Arrival(
        0, _RECORDER, 0, OpKind.READ, None, 0, b"", expect, number, NIL
    )
    assert isinstance(arrival, Arrival)
    return arrival


def _plain(reply: bytes) -> object:
    parsed = resp.parse(reply)
    return str(parsed) if isinstance(parsed, hiredis.ReplyError) else parsed


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(_EXPECTED, st.none() | _REPLIES), max_size=20),
    st.lists(st.integers(1, 30), max_size=40),
)
def test_every_arrival_gets_its_own_reply(
    pairs: list[tuple[bytes, bytes | None]], cuts: list[int]
) -> None:
    """Each reply goes to the arrival whose turn it is, once, and nothing is invented.

    None stands for the reply that was expected.
    """
    ends = Ends()
    connection = Connection(ends, ends, None)
    replies = [expect if reply is None else reply for expect, reply in pairs]
    for number, (expect, _) in enumerate(pairs):
        connection.pending.append(_arrival(number, expect))
    stream = b"".join(replies)
    for size in [*cuts, len(stream)]:
        chunk, stream = stream[:size], stream[size:]
        if chunk:
            connection.data_received(chunk)
            ends.look()
    assert ends.ends == [(i, _plain(reply)) for i, reply in enumerate(replies)]
    assert not connection.pending
