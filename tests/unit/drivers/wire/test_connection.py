"""Connections and redirects of the wire driver, without a network."""

import asyncio
import gc
from collections.abc import Iterator
from typing import Any, cast

import hiredis
import pytest

from loadprobe.clock import NS_PER_MS, mono_now_ns
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.load.recorder import ScopeRecorder
from loadprobe.core.load.values import NIL
from loadprobe.drivers import resp
from loadprobe.drivers.base import Arrival
from loadprobe.drivers.wire.connection import Connection
from loadprobe.drivers.wire.explain import explain_slots_error
from loadprobe.drivers.wire.node import WireNode
from loadprobe.drivers.wire.redirect import parse_redirect


class Wire:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.is_aborted = False
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep what is written."""
        self.written.append(data)

    def abort(self) -> None:
        """Take note of an abort."""
        self.is_aborted = True

    def close(self) -> None:
        """Take note of a close."""
        self.is_closed = True

    def is_closing(self) -> bool:
        """Tell whether it was closed."""
        return self.is_aborted or self.is_closed


class Hub:
    """A driver and the sink behind it: notes what it is told."""

    def __init__(self) -> None:
        self.matched: list[Arrival] = []
        self.most_bytes = 1_000_000
        self.replies: list[tuple[Arrival, object]] = []
        self.errors: list[tuple[Arrival, str]] = []
        self.failures: list[tuple[Arrival, Outcome, ErrorClass]] = []
        self.evidence: list[tuple[int, int]] = []
        self.hurries = 0
        self.late_ns = 0

    def unread_since(self, at_ns: int) -> int:
        """Return the time, or as long before it as the loop was late."""
        return at_ns - self.late_ns

    def looked_since(self, at_ns: int) -> int:
        """Return the time of nothing: this loop does not tell when it looked."""
        return min(0, at_ns)

    def wake(self) -> None:
        """Take note that something matched."""

    def replied(self, arrival: Arrival, reply: object, done_ns: int) -> None:
        """Note a reply."""
        self.replies.append((arrival, reply))

    def error_reply(
        self, node: WireNode, arrival: Arrival, error: hiredis.ReplyError, done_ns: int
    ) -> None:
        """Note an error reply."""
        self.errors.append((arrival, str(error)))

    def fail(
        self,
        arrival: Arrival,
        outcome: Outcome,
        error: ErrorClass,
        evidence: tuple[int, int],
    ) -> None:
        """Note a failure."""
        assert evidence[0] <= evidence[1]
        self.failures.append((arrival, outcome, error))
        self.evidence.append(evidence)

    def reroute(self, arrival: Arrival) -> None:
        """Never called: no node is retired."""

    def forward(
        self,
        arrival: Arrival,
        node: WireNode,
        *,
        asking: bool = False,
    ) -> None:
        """Nothing waits here for a first connection."""
        raise NotImplementedError

    def hurry(self) -> None:
        """Note that the topology is to be looked at."""
        self.hurries += 1


def arrival_of(number: int) -> Arrival:
    """Return an arrival."""
    recorder = ScopeRecorder(Scope("tcp", "0001", OpKind.READ))
    return Arrival(
        number, recorder, 0, OpKind.READ, None, 0, b"GET", NIL, 0, NIL, number
    )


class Line:
    """One live connection of a node, and its other end."""

    def __init__(self, *, closed_loop: bool = False) -> None:
        self.hub = Hub()
        self.node = WireNode(
            self.hub,
            "h",
            1,
            replies=self.hub,
            width=2,
            closed_loop=closed_loop,
        )
        self.node.want(1, is_primary=True)
        self.wire = Wire()
        self.connection = Connection(self.node, self.hub, self.node.free)
        self.connection.connection_made(self.wire)
        self.node.welcome(self.connection, 0)

    def send(self, *arrivals: Arrival) -> None:
        """Put arrivals on the connection."""
        for arrival in arrivals:
            self.connection.pending.append(arrival)
            self.connection.write(arrival.command)


@pytest.fixture
async def line() -> Line:
    """Open a connection."""
    return Line()


async def test_replies_are_matched_in_order(line: Line) -> None:
    """The n-th reply belongs to the n-th request, however the bytes were cut."""
    arrivals = [arrival_of(n) for n in range(1, 5)]
    line.send(*arrivals)
    stream = b"$1\r\na\r\n-CLUSTERDOWN no\r\n$-1\r\n+OK\r\n"
    for start in range(0, len(stream), 3):
        line.connection.data_received(stream[start : start + 3])
    assert line.hub.replies == [
        (arrivals[0], b"a"),
        (arrivals[2], None),
        (arrivals[3], b"OK"),
    ]
    assert line.hub.errors == [(arrivals[1], "CLUSTERDOWN no")]
    assert not line.connection.pending


async def test_the_end_of_a_silence_that_was_read_late(line: Line) -> None:
    """The node may have spoken again when we should have woken up."""
    pulse = line.node.pulse
    line.hub.late_ns = 3 * NS_PER_MS
    line.send(arrival_of(1), arrival_of(2))
    line.connection.data_received(b"$1\r\na\r\n")
    first_ns = pulse.resumed_ns
    assert pulse.last_reply_ns - first_ns == line.hub.late_ns
    line.connection.data_received(b"$1\r\nb\r\n")
    assert pulse.resumed_ns == first_ns


async def test_a_loss_may_be_older_than_the_last_reply_that_was_read(
    line: Line,
) -> None:
    """Reply and loss may have waited together: it was alive when the request left."""
    answered, lost = arrival_of(1), arrival_of(2)
    answered.sent, lost.sent = line.connection.alive_ns + 5, mono_now_ns()
    line.send(answered, lost)
    line.connection.data_received(b"$1\r\na\r\n")
    read_ns = mono_now_ns()
    line.connection.connection_lost(ConnectionResetError("reset"))
    ((start_ns, end_ns),) = line.hub.evidence
    assert start_ns == answered.sent
    assert end_ns >= read_ns
    assert line.node.evidence() == (start_ns, end_ns)


@pytest.mark.parametrize(
    ("said", "is_turned_away"),
    [
        (b"-ERR max number of clients reached\r\n", True),
        (b"-CLUSTERDOWN no\r\n", False),
        (b"$1\r\na\r\n", False),
        (b"", True),
    ],
)
async def test_who_is_turned_away(
    line: Line, said: bytes, *, is_turned_away: bool
) -> None:
    """A server without room has said nothing, also if an arrival was there already."""
    line.node.want(2, is_primary=True)
    second = line.node.make_connection()
    second.connection_made(Wire())
    line.node.welcome(second, 1)
    arrival = arrival_of(1)
    arrival.sent = second.alive_ns + 5
    second.pending.append(arrival)
    if said:
        second.data_received(said)
    second.connection_lost(None)
    assert (line.node.turned_away_ns > 0) is is_turned_away
    assert line.node.live == [line.connection]


async def test_requests_beside_arrivals(line: Line) -> None:
    """A request takes its turn among the arrivals; an error is a result, too."""
    first, second = arrival_of(1), arrival_of(2)
    line.send(first)
    good = line.connection.request(resp.PING)
    bad = line.connection.request(resp.CLUSTER_SLOTS)
    line.send(second)
    line.connection.data_received(b"$1\r\na\r\n+PONG\r\n-ERR unknown\r\n$1\r\nb\r\n")
    assert await good == b"PONG"
    assert isinstance(await bad, hiredis.ReplyError)
    assert line.hub.replies == [(first, b"a"), (second, b"b")]


async def test_an_unasked_error_ends_the_connection(line: Line) -> None:
    """Bytes nobody asked for are no reply to the next request."""
    line.connection.data_received(b"-ERR max number of clients reached\r\n")
    assert line.wire.is_aborted


async def test_a_map_that_cannot_be_one_ends_the_connection(line: Line) -> None:
    """A list is no key of a map: no reply, and no crash of ours."""
    line.send(arrival_of(1))
    line.connection.data_received(b"%1\r\n*1\r\n:1\r\n+a\r\n")
    assert line.wire.is_aborted
    assert line.hub.errors == []


async def test_a_length_of_thousands_of_digits_ends_the_connection(line: Line) -> None:
    """What a hostile server calls a length is refused by the parser, not our error."""
    line.send(arrival_of(1))
    line.connection.data_received(b"$%b\r\n" % (b"9" * 5000))
    assert line.wire.is_aborted
    assert line.hub.errors == []


async def test_a_lost_connection_decides_what_was_on_it(line: Line) -> None:
    """Arrivals become unknown, requests fail, and the node is not live any more."""
    arrivals = [arrival_of(1), arrival_of(2)]
    line.send(*arrivals)
    asked = line.connection.request(resp.PING)
    line.connection.connection_lost(ConnectionResetError("reset"))
    assert line.hub.failures == [
        (arrival, Outcome.UNKNOWN, ErrorClass.RESET) for arrival in arrivals
    ]
    with pytest.raises(ConnectionResetError):
        await asked
    assert line.node.live == []
    assert line.node.borrow() is None
    assert line.hub.hurries == 1
    with pytest.raises(ConnectionResetError):
        line.connection.write(b"late")


@pytest.fixture
async def complaints() -> "AsyncComplaints":
    """Collect what is reported to the event loop, as a probe process does."""
    return AsyncComplaints()


class AsyncComplaints:
    """What reached the event loop's exception handler."""

    def __init__(self) -> None:
        self.found: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _loop, context: self.found.append(context)
        )

    def __iter__(self) -> Iterator[dict[str, Any]]:
        gc.collect()
        return iter(self.found)


async def test_a_reply_nobody_waits_for_is_no_defect(
    complaints: AsyncComplaints,
) -> None:
    """A connection that is lost after ASKING does not end the run of a probe.

    A probe process takes everything the event loop reports for a defect of its own.
    """
    line = Line()
    line.connection.request(resp.ASKING)
    arrival = arrival_of(1)
    line.send(arrival)
    line.connection.connection_lost(ConnectionResetError("reset"))
    assert line.hub.failures == [(arrival, Outcome.UNKNOWN, ErrorClass.RESET)]
    del line
    await asyncio.sleep(0)
    assert list(complaints) == []


async def test_the_closed_loop_keeps_idle_connections() -> None:
    """A connection is idle when nothing is outstanding, and is handed out once."""
    line = Line(closed_loop=True)
    assert line.node.borrow() is line.connection
    assert line.node.free == []
    first, second = arrival_of(1), arrival_of(2)
    line.send(first, second)
    line.connection.data_received(b"$1\r\na\r\n")
    assert line.node.free == []
    line.connection.data_received(b"$1\r\nb\r\n")
    assert line.node.free == [line.connection]
    asked = line.node.borrow()
    assert asked is not None
    reply = asked.request(resp.PING)
    line.connection.data_received(b"+PONG\r\n")
    assert await reply == b"PONG"
    assert line.node.free == [line.connection]
    line.connection.connection_lost(None)
    assert line.node.free == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 866 127.0.0.1:7302", (866, "127.0.0.1", 7302)),
        ("ASK 16383 node-1.lab.test:6379", (16383, "node-1.lab.test", 6379)),
        ("MOVED 1 ::1:7302", (1, "::1", 7302)),
        ("MOVED 1 [::1]:7302", (1, "::1", 7302)),
        ("MOVED 2 :7302", (2, "asked", 7302)),
        ("MOVED 3 ?:7302", (3, "asked", 7302)),
        ("MOVED 4 10.0.0.9:7302 more", (4, "10.0.0.9", 7302)),
    ],
)
def test_redirects(text: str, expected: tuple[int, str, int]) -> None:
    """Every form of address is understood; no host means the one that was asked."""
    assert parse_redirect(text, "asked") == expected


@pytest.mark.parametrize("port", ["0", "65536", "99999", "655350"])
def test_a_redirect_to_a_port_that_cannot_be_is_none(port: str) -> None:
    """Nobody connects to a port that no host has, so the reply is only an error."""
    assert parse_redirect(f"MOVED 866 127.0.0.1:{port}", "asked") is None


@pytest.mark.parametrize(
    ("text", "advice"),
    [
        ("ERR This instance has cluster support disabled", "cluster = false"),
        ("NOAUTH Authentication required.", "password_file"),
        ("NOPERM this user has no permissions", "+cluster|slots"),
        ("ERR unknown command 'CLUSTER'", "+cluster|slots"),
    ],
)
def test_a_refused_topology_is_explained(text: str, advice: str) -> None:
    """The message says what was refused, where, and what to do."""
    message = explain_slots_error(text, "h", 6379)
    assert "h:6379" in message
    assert text in message
    assert advice in message


@pytest.mark.parametrize("head", [b"$2000000000\r\n", b"*3\r\n$2000000\r\n", b"+"])
async def test_a_reply_without_end_is_wrong(line: Line, head: bytes) -> None:
    """So much of it is kept and no more; the others fail with the connection."""
    arrivals = [arrival_of(1), arrival_of(2)]
    line.hub.most_bytes = line.connection._most_bytes = 70_000
    line.send(*arrivals)
    line.connection.data_received(head)
    for _ in range(4):
        assert not line.wire.is_aborted
        line.connection.data_received(b"x" * 16_384)
    line.connection.data_received(b"x" * 16_384)
    assert line.wire.is_aborted
    assert line.hub.replies == [(arrivals[0], resp.OVERLONG)]
    assert list(line.connection.pending) == [arrivals[1]]


async def test_replies_that_are_always_cut(line: Line) -> None:
    """However many there are, each begins anew: only what is unparsed counts."""
    line.connection._most_bytes = 5_000
    reply = resp.encode_bulk(b"x" * 3_000)
    arrivals = [arrival_of(n) for n in range(1, 40)]
    line.send(*arrivals)
    stream = reply * len(arrivals)
    for start in range(0, len(stream), 1_999):
        line.connection.data_received(stream[start : start + 1_999])
    assert len(line.hub.replies) == len(arrivals)
    assert not line.wire.is_aborted


async def test_a_map_may_be_longer_than_a_value(line: Line) -> None:
    """What we asked for ourselves has a bound of its own."""
    asked = line.connection.request(resp.CLUSTER_SLOTS)
    line.connection._most_bytes = 5_000
    line.connection.data_received(b"$100000\r\n")
    line.connection.data_received(b"x" * 100_000)
    assert not line.wire.is_aborted
    line.connection.data_received(b"\r\n")
    assert len(cast("bytes", await asked)) == 100_000
    late = line.connection.request(resp.CLUSTER_SLOTS)
    line.connection.data_received(b"$100000000\r\n")
    for _ in range(resp.MOST_MAP_BYTES // 1_000_000 + 1):
        line.connection.data_received(b"x" * 1_000_000)
    assert line.wire.is_aborted
    with pytest.raises(ConnectionResetError, match="longer than any right one"):
        await late


@pytest.mark.parametrize("cut", [None, 3, 9, 12])
@pytest.mark.parametrize(
    "stream", [b"*2147483648\r\n", b"*2\r\n*100000\r\n", b"*1\r\n%999999999\r\n"]
)
async def test_room_for_what_is_announced_is_not_made(
    line: Line, stream: bytes, cut: int | None
) -> None:
    """The number alone, of which a parser makes a list, ends the connection."""
    arrival = arrival_of(1)
    line.send(arrival)
    for part in (stream[:cut], stream[cut:] if cut else b""):
        if part and not line.wire.is_aborted:
            line.connection.data_received(part)
    assert line.wire.is_aborted
    assert line.hub.replies == [(arrival, resp.OVERLONG)]
