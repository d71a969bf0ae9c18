"""New connections: when they are due, what they come to, and that they count apart."""

import asyncio
from typing import Any

import msgspec
import pytest

from loadprobe.clock import mono_now_ns
from loadprobe.config.keys import Lane, Probe, Target
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome
from loadprobe.core.judging.results import Results
from loadprobe.core.topology.topology import Node, Shard, Topology
from loadprobe.core.verdict.measured import Measured
from loadprobe.core.verdict.summary import Summary
from loadprobe.core.verdict.thresholds import SloLimits
from loadprobe.core.verdict.verdict import summarize
from loadprobe.drivers.wire.dial import Dialer
from loadprobe.outputs.report.connects import connect_rows
from loadprobe.probe.connects import Connects
from loadprobe.probe.lag import Lag
from loadprobe.probe.orders import Share
from tests.support.blocks import read_block
from tests.support.clocks import CLOCK

MS = 1_000_000
S = 1_000 * MS
START = 1_000 * S


class Group:
    """Takes note of the attempts that were begun."""

    def __init__(self) -> None:
        self.begun: list[Any] = []

    def create_task(self, attempt: Any) -> None:
        """Begin nothing."""
        self.begun.append(attempt.cr_frame.f_locals)
        attempt.close()


class Driver:
    """Knows shards, all on one port of this host."""

    def __init__(self, shards: int, port: int = 1, password: str | None = None) -> None:
        target = Target(host="127.0.0.1", port=port)
        self.dialer = Dialer(target, None, password, timeout_ms=200)
        primary = Node("n", "127.0.0.1", port)
        self.topology = Topology(
            tuple(
                Shard(f"{i:04d}", ((i, i),), primary, (), 1)
                for i in range(1, shards + 1)
            )
        )


def make(
    driver: Driver, *, rate: float = 2.0, share: tuple[int, int] = (0, 1)
) -> Connects:
    """Return the new connections of a lane."""
    lane = Lane(name="tcp", connect_rate_per_s=rate, deadline_ms=100)
    made: Any = Connects
    connects: Connects = made(
        Share(lane, *share, 1, 1), driver, Probe(settle_ms=100), Lag()
    )
    return connects


def dues(connects: Connects, *, until_ns: int) -> list[tuple[int, str]]:
    """Return when which shard is connected to, each attempt begun at its due time."""
    group: Any = Group()
    connects.join(group)
    at_ns = START
    while at_ns < until_ns:
        at_ns, _ = connects.issue_due(at_ns)
    return [(row["due_ns"] - START, row["shard"].name) for row in group.begun]


def test_shards_are_connected_to_in_turn() -> None:
    """Each shard has its own rate, and they are evenly apart."""
    connects = make(Driver(2))
    connects.start(START, START)
    assert dues(connects, until_ns=START + 1 * S) == [
        (0, "0001"),
        (250 * MS, "0002"),
        (500 * MS, "0001"),
        (750 * MS, "0002"),
    ]


def test_processes_take_turns() -> None:
    """All processes of a lane together make what one would make alone."""
    alone = make(Driver(3))
    alone.start(START, START)
    parts = []
    for index in range(2):
        connects = make(Driver(3), share=(index, 2))
        connects.start(START, START)
        parts += dues(connects, until_ns=START + 3 * S)
    assert sorted(parts) == dues(alone, until_ns=START + 3 * S)


def test_what_is_overdue_is_left_out() -> None:
    """After a stall there is no burst: the schedule goes on where it is by now."""
    connects = make(Driver(2))
    connects.start(START, START)
    group: Any = Group()
    connects.join(group)
    next_ns, _ = connects.issue_due(START + 60 * S + 100 * MS)
    assert group.begun == []
    assert next_ns == START + 60 * S + 500 * MS
    assert connects.watermark_ns(START + 60 * S + 100 * MS) == START + 60 * S + 100 * MS


def test_nothing_is_due_after_the_stop() -> None:
    """What was due before still is."""
    connects = make(Driver(2))
    connects.start(START, START)
    connects.stop(START + 600 * MS)
    assert [due for due, _ in dues(connects, until_ns=START + 9 * S)] == [
        0,
        250 * MS,
        500 * MS,
    ]
    assert connects.watermark_ns(START + 9 * S) == START


async def ended(connects: Connects) -> tuple[Block, list[Failure]]:
    """Let one attempt be due now, and return what became of it."""
    async with asyncio.TaskGroup() as group:
        connects.join(group)
        now_ns = mono_now_ns()
        connects.start(now_ns, now_ns)
        connects.stop(now_ns + 1)
        connects.issue_due(now_ns)
        assert not connects.is_drained
        assert connects.watermark_ns(now_ns + 1) == now_ns
    assert connects.is_drained
    (row,) = connects.take_blocks()
    assert OpKind(row.op) is OpKind.CONNECT
    block = read_block(row)
    return block, list(block.iter_failures())


@pytest.mark.parametrize(
    ("replies", "password", "expected"),
    [
        ([b"+PONG\r\n"], None, None),
        ([b"+OK\r\n", b"+PONG\r\n"], "secret", None),
        ([b"-WRONGPASS no\r\n"], "secret", (Outcome.REFUSED, ErrorClass.AUTH)),
        ([b"-LOADING wait\r\n"], None, (Outcome.REFUSED, ErrorClass.LOADING)),
        ([b"+HELLO\r\n"], None, (Outcome.WRONG, ErrorClass.VALUE)),
        ([b""], None, (Outcome.UNKNOWN, ErrorClass.RESET)),
        ([b"HTTP/1.1 400\r\n"], None, (Outcome.UNKNOWN, ErrorClass.RESET)),
        ([], None, (Outcome.UNKNOWN, ErrorClass.TIMEOUT)),
        ([], "secret", (Outcome.UNSENT, ErrorClass.UNREACHABLE)),
    ],
)
async def test_what_becomes_of_a_connection(
    replies: list[bytes],
    password: str | None,
    expected: tuple[Outcome, ErrorClass] | None,
) -> None:
    """It is served by the reply to PING; else its outcome and class say why not."""
    left = list(replies)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            if left and left[0]:
                writer.write(left.pop(0))
            elif left:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        block, failures = await ended(make(Driver(1, port, password)))
    if expected is None:
        assert (block.served_count, failures) == (1, [])
    else:
        assert [(f.outcome, f.error) for f in failures] == [expected]


async def test_a_deadline_that_was_longer_once_keeps_nobody_waiting() -> None:
    """What is due when the shorter one has held for long is given up by that."""

    async def swallow(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as server:
        connects = make(Driver(1, server.sockets[0].getsockname()[1]))
        now_ns = mono_now_ns()
        connects.change_deadline(now_ns - 60 * S, 9 * S)
        connects.change_deadline(now_ns - 30 * S, 100 * MS)
        _, (failure,) = await ended(connects)
    assert failure.error is ErrorClass.TIMEOUT
    assert failure.evidence_start_ns - failure.due_ns < 2 * S


async def test_a_port_that_nobody_listens_on() -> None:
    """There is no connection: the attempt is unsent."""
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    _, failures = await ended(make(Driver(1, port)))
    assert [(f.outcome, f.error) for f in failures] == [
        (Outcome.UNSENT, ErrorClass.CONNECT_REFUSED)
    ]


# --- how they count -----------------------------------------------------------------


def judged(*, dark_connects: bool, dark_reads: bool) -> Summary:
    """Return what is said of ten seconds with a failure of one kind or the other."""
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250 * MS)])
    aggregate.start_process(0, 0)
    reads, connects = Block(), Block()
    for i in range(1_000):
        due = i * 10 * MS
        if dark_reads and 400 <= i < 420:
            reads.add_failure(_refused(due))
        else:
            reads.add_served(due, due, due + MS)
    for i in range(10):
        due = i * S
        if dark_connects and i in (5, 6):
            connects.add_failure(_refused(due))
        else:
            connects.add_served(due, due + 200 * MS, due + 240 * MS)
    aggregate.add(
        0,
        {
            Scope("tcp", "0001", OpKind.READ): reads,
            Scope("tcp", "0001", OpKind.CONNECT): connects,
        },
        watermark_ns=10 * S,
    )
    results: Results = aggregate.finish(10 * S)
    slo = SloLimits(max_outage_ms=1.0, availability=1.0, p99_ms=5.0)
    return summarize(Measured(results, CLOCK, S, slo=slo)).summary


def test_reads_by_replicas_are_told_apart_and_count() -> None:
    """They are downtime of their lane; its writes were served, and that is said."""
    aggregate = Aggregate([LaneInfo("tcp", False, (0,), 250 * MS)])
    aggregate.start_process(0, 0)
    reads, writes = Block(), Block()
    for due in range(0, S, 10 * MS):
        writes.add_served(due, due, due + MS)
        if 400 * MS <= due < 600 * MS:
            reads.add_failure(_refused(due))
        else:
            reads.add_served(due, due, due + MS)
    blocks = {
        Scope("tcp", "0001", OpKind.REPLICA_READ): reads,
        Scope("tcp", "0001", OpKind.WRITE): writes,
        Scope("tcp", "0002", OpKind.WRITE): writes,
    }
    aggregate.add(0, blocks, watermark_ns=S)
    summary = summarize(Measured(aggregate.finish(S), CLOCK, S)).summary
    (lane,) = summary.lanes
    assert summary.state == "outage"
    assert lane.downtime_ms.any_shard.estimate == pytest.approx(200, abs=10)
    assert lane.downtime_by_op_ms["replica_read"] == lane.downtime_ms
    assert lane.downtime_by_op_ms["write"].any_shard.upper == 0
    assert any(
        "its writes, which go to primaries, for 0 ms" in s for s in summary.verdict
    )
    # The shard that has writes only proves nothing of replicas.
    assert summary.incidents[0].causes == {"shard": 1}


def _refused(due_ns: int) -> Failure:
    return Failure(
        due_ns,
        due_ns,
        due_ns + MS,
        Outcome.REFUSED,
        ErrorClass.LOADING,
        due_ns,
        due_ns + MS,
    )


def test_new_connections_change_no_figure_of_the_load() -> None:
    """Dark or slow, they are told beside downtime, availability and thresholds."""
    summary = judged(dark_connects=True, dark_reads=False)
    assert summary.state == "clean"
    assert summary.downtime_ms.any_shard.upper == 0
    assert summary.incidents == []
    assert all(check.is_met for check in summary.slo)
    (lane,) = summary.lanes
    assert (lane.arrivals, lane.availability) == (1_000, 1.0)
    assert set(lane.response_ms) == set(lane.downtime_by_op_ms) == {"read"}
    assert lane.lateness_ms.max == 0
    assert {scope.op for scope in summary.scopes} == {"read"}
    (connecting,) = summary.connects
    assert (connecting.arrivals, connecting.availability) == (10, 0.8)
    dark = connecting.downtime_ms.any_shard
    assert dark.lower <= 2_000 <= dark.upper
    assert connecting.response_ms.count == 8
    assert "2 of 10 new connections failed, on shard 0001" in summary.verdict[-1]


def test_the_table_of_new_connections() -> None:
    """Every shard has a row; what failed by plan is not in it."""
    (connecting,) = judged(dark_connects=True, dark_reads=False).connects
    (row,) = connect_rows([connecting])
    assert row[:2] == ["tcp", "0001"]
    assert row[4:6] == ["10", "2"]
    assert row[-1] == "loading"
    (scope,) = connecting.scopes
    planned = msgspec.structs.replace(
        connecting, scopes=[msgspec.structs.replace(scope, planned_failed=2)]
    )
    (row,) = connect_rows([planned])
    assert (row[4:6], row[-1]) == (["8", "0"], "")


def test_the_load_changes_no_figure_of_new_connections() -> None:
    """An outage of the load is none of connections that were made meanwhile."""
    summary = judged(dark_connects=False, dark_reads=True)
    assert summary.state == "outage"
    assert summary.downtime_ms.any_shard.estimate == pytest.approx(200, abs=10)
    (connecting,) = summary.connects
    assert connecting.downtime_ms.any_shard.upper == 0
    assert not any("new connections" in sentence for sentence in summary.verdict)
