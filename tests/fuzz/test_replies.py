"""Whatever a server sends, a connection of the wire driver ends or goes on; no more."""

import tracemalloc
from contextlib import suppress
from typing import Any

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from loadprobe.config.keys import LARGEST_PORT
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.core.topology.roles import parse_replication
from loadprobe.core.topology.slots import SLOTS
from loadprobe.core.topology.topology import parse_nodes, parse_slots
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection, Pulse
from loadprobe.drivers.wire.redirect import parse_redirect
from tests.fuzz import examples

MOST_BYTES = 4_000
NUMBERS = st.one_of(
    st.integers(-3, 12),
    st.sampled_from([10**5, 2**31, 2**32, 2**63, 2**64, -(2**63), 10**18, 10**25]),
).map(lambda number: b"%d" % number)
HEADS = st.builds(
    lambda kind, number: kind + number + b"\r\n",
    st.sampled_from([b"$", b"*", b"%", b"~", b">", b"|", b":", b"=", b"!", b"("]),
    NUMBERS,
)
PIECES = st.one_of(
    HEADS,
    st.binary(max_size=40),
    st.sampled_from(
        [
            resp.OK_REPLY,
            NIL,
            b"$5\r\nvalue\r\n",
            b"-MOVED 1 h:1\r\n",
            b"-ERR no\r\n",
            b"*-1\r\n",
            b"#t\r\n",
            b",nan\r\n",
            b"_\r\n",
            b"\r\n",
        ]
    ),
    st.integers(0, 9).map(lambda depth: b"*1\r\n" * depth),
    st.integers(1, 12_000).map(lambda size: b"x" * size),
)


class Ends:
    """Owner, driver and sink of one connection."""

    def __init__(self) -> None:
        self.pulse = Pulse()
        self.matched: list[Arrival] = []
        self.most_bytes = MOST_BYTES
        self.ended: list[Arrival] = []

    def wake(self) -> None:
        """Take no note."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Note an arrival that was answered."""
        assert not isinstance(reply, hiredis.ReplyError)
        self.ended.append(arrival)

    def error_reply(self, arrival: Arrival, error: Any, done_ns: int) -> None:
        """Note an arrival that was refused; its text may be a redirect."""
        parse_redirect(str(error), "h")
        self.ended.append(arrival)

    def unread_since(self, at_ns: int) -> int:
        """Return the time."""
        return at_ns

    def looked_since(self, at_ns: int) -> int:
        """Return nothing known."""
        return min(0, at_ns)

    def lost(self, connection: Connection, exc: Exception | None) -> None:
        """Take no note."""


class Wire:
    """A transport that is open until it is aborted."""

    def __init__(self) -> None:
        self.is_aborted = False

    def write(self, data: bytes) -> None:
        """Send nothing."""

    def abort(self) -> None:
        """End."""
        self.is_aborted = True

    close = abort

    def is_closing(self) -> bool:
        """Tell whether it has ended."""
        return self.is_aborted


def arrivals(count: int) -> list[Arrival]:
    """Return arrivals that expect different replies."""
    recorder = ScopeRecorder(Scope("tcp", "0001", OpKind.READ))
    expected = [NIL, resp.OK_REPLY, resp.encode_bulk(b"value")]
    return [
        Arrival(
            n, recorder, 0, OpKind.READ, None, 0, b"GET", expected[n % 3], n, NIL, n
        )
        for n in range(count)
    ]


@examples(150)
@given(
    st.lists(PIECES, max_size=12), st.lists(st.integers(1, 2_000)), st.integers(0, 12)
)
def test_any_stream_in_any_pieces(
    pieces: list[bytes], cuts: list[int], count: int
) -> None:
    """Every arrival ends once, in order; what is unparsed stays within its bound."""
    ends, wire = Ends(), Wire()
    connection = Connection(ends, ends, None)
    connection.connection_made(wire)
    sent = arrivals(count)
    connection.pending.extend(sent)
    stream = b"".join(pieces)
    for size in [*cuts, len(stream)]:
        chunk, stream = stream[:size], stream[size:]
        if chunk and not wire.is_aborted:
            connection.data_received(chunk)
            ends.ended += ends.matched
            ends.matched.clear()
        assert connection._kept_bytes <= MOST_BYTES + size or wire.is_aborted
    assert sorted(a.version for a in ends.ended) == list(range(len(ends.ended)))
    assert list(connection.pending) == sent[len(ends.ended) :]


@examples(60)
@given(HEADS, HEADS, st.integers(1, 20))
def test_no_room_is_made_for_what_is_announced(
    first: bytes, second: bytes, cut: int
) -> None:
    """However large the numbers are, and wherever they are cut."""
    ends, wire = Ends(), Wire()
    connection = Connection(ends, ends, None)
    connection.connection_made(wire)
    connection.pending.extend(arrivals(3))
    stream = first + second
    tracemalloc.start()
    for part in (stream[:cut], stream[cut:]):
        if part and not wire.is_aborted:
            connection.data_received(part)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000


TEXTS = st.text(max_size=60) | st.binary(max_size=60).map(
    lambda raw: raw.decode("latin-1")
)
REPLIES = st.recursive(
    st.none() | st.integers() | st.binary(max_size=12) | st.sampled_from([b"", b"h"]),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=25,
)


@examples(150)
@given(TEXTS)
def test_any_error_is_a_redirect_or_none(text: str) -> None:
    """What is no redirect is none; the slot and the port of one can be."""
    for word in ("", "MOVED ", "ASK ", "MOVED 1 ", "MOVED 99999999999 h:", "ASK 1 :"):
        found = parse_redirect(word + text, "h")
        if found is not None:
            assert 0 <= found[0] < SLOTS
            assert 0 < found[2] <= LARGEST_PORT


@examples(100)
@given(st.binary(max_size=200), st.booleans())
def test_any_text_of_info_is_a_role_or_refused(text: bytes, begins: bool) -> None:
    """Nothing but ValueError says that it is none."""
    head = b"# Replication\r\nrole:slave\r\nmaster_host:" if begins else b""
    with suppress(ValueError):
        parse_replication(head + text, ("h", 1))


@examples(200)
@given(st.lists(REPLIES, max_size=4), st.integers(), st.integers(), REPLIES)
def test_any_map_is_one_or_refused(
    reply: list[object], first: int, last: int, node: object
) -> None:
    """Nothing but ValueError says that it is none."""
    for each in (reply, [[first, last, node]], [[first, last, [b"h", last, node]]]):
        with suppress(ValueError):
            for begin, end, primary, _ in parse_slots(each, asked_host="h").rows:
                assert 0 <= begin <= end < SLOTS
                assert 0 <= primary.port <= LARGEST_PORT


@examples(150)
@given(st.lists(st.binary(max_size=30), max_size=10), st.binary(max_size=60))
def test_any_list_of_nodes_is_one_or_refused(words: list[bytes], more: bytes) -> None:
    """Nothing but ValueError says that it is none."""
    line = b"07c37df 127.0.0.1:1@2 master - 0 0 1 connected 0-5"
    for text in (b" ".join(words), more, line + more, line + b"\n" + b" ".join(words)):
        with suppress(ValueError):
            parse_nodes(text)
