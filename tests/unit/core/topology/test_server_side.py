"""What servers tell becomes rows that can be added up."""

from dataclasses import replace

import pytest

from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.topology.server_side import (
    PRIMARY,
    REPLICA,
    Placed,
    ServerAnswer,
    ServerRow,
    ServerSide,
    added,
)

LEADER: Placed = ("0001", "h:1")
FOLLOWER: Placed = ("0001", "h:2")


def answer(
    at_s: float, *, ops: int = 0, role: str = PRIMARY, **more: int
) -> ServerAnswer:
    """Return what a server tells at a time."""
    return ServerAnswer(
        at_ns=round(at_s * NS_PER_S),
        role=role,
        ops=ops,
        cpu_ms=more.get("cpu_ms", 0),
        clients=more.get("clients", 1),
        max_clients=None,
        ops_per_s=0,
        memory_bytes=more.get("memory_bytes", 1000),
        offset=more.get("offset", 0),
        is_linked=None if role == PRIMARY else bool(more.get("linked", 1)),
    )


def test_counters_become_what_was_done_in_a_second() -> None:
    """The first answer has nothing before it; the next ones are exact differences."""
    side = ServerSide()
    (first,) = side.rows({LEADER: answer(5.002, ops=100, cpu_ms=40)})
    (second,) = side.rows({LEADER: answer(6.002, ops=130, cpu_ms=45)})
    assert (first.span_ms, first.ops, first.cpu_ms) == (0, 0, 0)
    assert (second.span_ms, second.ops, second.cpu_ms) == (1000, 30, 5)
    assert (first.second, second.second) == (4, 5)  # the second that had just ended


@pytest.mark.parametrize("later", [answer(6.0, ops=3), answer(200.0, ops=500)])
def test_another_process_begins_anew(later: ServerAnswer) -> None:
    """Of a server that was started again, or away for long, nothing is compared."""
    side = ServerSide()
    side.rows({LEADER: answer(5.0, ops=100)})
    (row,) = side.rows({LEADER: later})
    assert (row.span_ms, row.ops) == (0, 0)


def test_lag_is_what_the_replica_has_not_received() -> None:
    """It is told if both answered at about the same time, and of replicas only."""
    side = ServerSide()
    primary = answer(5.0, offset=5000)
    replica = answer(5.01, role=REPLICA, offset=4200)
    rows = side.rows({LEADER: primary, FOLLOWER: replica})
    assert [row.lag_bytes for row in rows] == [None, 800]
    late = replace(replica, at_ns=primary.at_ns + 700 * NS_PER_MS)
    assert side.rows({LEADER: primary, FOLLOWER: late})[1].lag_bytes is None
    assert side.rows({FOLLOWER: replica})[0].lag_bytes is None
    ahead = replace(replica, offset=5100)
    assert side.rows({LEADER: primary, FOLLOWER: ahead})[1].lag_bytes == 0


def test_of_two_primaries_the_one_that_goes_on_counts() -> None:
    """After a failover the old one still says that it is a primary."""
    other: Placed = ("0001", "h:3")
    told = {
        LEADER: answer(5.0, offset=100),
        other: answer(5.0, offset=900),
        FOLLOWER: answer(5.0, role=REPLICA, offset=850),
    }
    rows = {row.node: row for row in ServerSide().rows(told)}
    assert rows["h:2"].lag_bytes == 50


def test_a_replica_without_its_primary() -> None:
    """The time since the answer before counts."""
    side = ServerSide()
    side.rows({FOLLOWER: answer(5.0, role=REPLICA)})
    (row,) = side.rows({FOLLOWER: answer(6.0, role=REPLICA, linked=0)})
    assert row.unlinked_ms == 1000


def test_longer_steps_keep_sums_and_the_most() -> None:
    """Operations are added; of connections, memory and lag the most there was stays."""
    one = ServerRow("h:1", "0001", PRIMARY, 60, 1000, 5, 2, 9, 100, None, 0)
    other = ServerRow("h:1", "0001", PRIMARY, 61, 500, 7, 1, 4, 300, 8, 250)
    both = ServerRow("h:1", "0001", PRIMARY, 60, 1500, 12, 3, 9, 300, 8, 250)
    assert added(one, other) == both


def test_who_is_gone_is_forgotten() -> None:
    """What was known of a server goes some time after it."""
    side = ServerSide()
    side.rows({LEADER: answer(5.0, ops=100)})
    side.forget(6 * NS_PER_S)
    (row,) = side.rows({LEADER: answer(7.0, ops=130)})
    assert row.span_ms == 0
