"""Matching replies: whatever they are and however the stream is cut."""

from typing import Any

import hiredis
from hypothesis import example, given
from hypothesis import strategies as st

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection, Pulse
from tests.support.examples import examples

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
        self.most_bytes = 65_536
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

    def unread_since(self, at_ns: int) -> int:
        """Return the time: this loop is never late."""
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return the time of nothing: this loop does not tell when it looked."""
        return min(0, at_ns)

    def error_reply(
        self, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Take an error."""
        self.look()
        self.ends.append((arrival.version, str(error)))

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Never called: nothing is lost."""
        raise NotImplementedError


class Wire:
    """A transport to nowhere."""

    def __init__(self) -> None:
        self._is_closing = False

    def write(self, data: bytes) -> None:
        """Forget it."""

    def is_closing(self) -> bool:
        """Tell whether the end was asked for."""
        return self._is_closing

    def close(self) -> None:
        """End."""
        self._is_closing = True

    abort = close


def _arrival(number: int, expect: bytes) -> Arrival:
    arrival: Any = Arrival(
        0, _RECORDER, 0, OpKind.READ, None, 0, b"", expect, number, NIL
    )
    assert isinstance(arrival, Arrival)
    return arrival


def _plain(reply: bytes) -> object:
    parsed = resp.parse(reply)
    return str(parsed) if isinstance(parsed, hiredis.ReplyError) else parsed


@examples(300)
@example(
    [(NIL, b"-ERR no\r\n"), (NIL, b"*2\r\n$-1\r\n+a\r\n")],
    [len(b"-ERR no\r\n*2\r\n")],
)
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


@given(_REPLIES.filter(lambda reply: reply[:1] != b"*"), st.binary(max_size=20))
def test_a_reply_ends_where_its_parser_says(reply: bytes, more: bytes) -> None:
    """The end is found if it is there, whatever follows; else it is not."""
    assert resp.end_of_reply(b"+OK\r\n" + reply + more, 5) == 5 + len(reply)
    assert resp.end_of_reply(reply[:-1], 0) == -1


def test_an_unexpected_reply_costs_only_itself() -> None:
    """On a connection that is never idle, the next replies are compared again."""
    ends = Ends()
    connection = Connection(ends, ends, None)
    value, other = resp.encode_bulk(b"value"), resp.encode_bulk(b"other")
    for number in range(5):
        connection.pending.append(_arrival(number, value))
    connection.data_received(value + other + value)
    assert [arrival.version for arrival in ends.matched] == [2]
    assert ends.ends == [(0, b"value"), (1, b"other")]
    connection.data_received(other[:4])
    connection.data_received(other[4:])
    connection.data_received(value)
    assert [arrival.version for arrival in ends.matched] == [4]


def test_what_is_no_resp_ends_the_connection() -> None:
    """Nothing behind it is looked at."""
    ends = Ends()
    connection = Connection(ends, ends, None)
    wire = Wire()
    connection.connection_made(wire)
    connection.pending.append(_arrival(0, NIL))
    connection.pending.append(_arrival(1, NIL))
    connection.data_received(b"HTTP/1.1 400\r\n" + NIL)
    assert (wire.is_closing(), ends.ends, ends.matched) == (True, [], [])
