"""Latencies second by second, of lanes and of their shards."""

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.latency import SecondP99
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
S = 1_000 * MS
LANE = LaneInfo("tcp", False, (0,), 250 * MS)


def block(*took_ms: int, begin_ns: int = 0) -> Block:
    """Return arrivals one ms apart that took so long."""
    result = Block()
    for number, took in enumerate(took_ms):
        due = begin_ns + number * MS
        result.add_served(due, due, due + took * MS)
    return result


def sealed(blocks: dict[Scope, Block]) -> dict[tuple[str | None, int], float]:
    """Return (shard, second) -> p99 in ms of what was judged in two seconds."""
    aggregate = Aggregate([LANE])
    aggregate.start_process(0, 0)
    aggregate.add(0, blocks, watermark_ns=S + S // 2)
    first = aggregate.seal()
    assert {row.second for row in first.p99} <= {0}
    rows: list[SecondP99] = [*first.p99, *aggregate.finish(2 * S).last.p99]
    assert len({row[:3] for row in rows}) == len(rows)
    return {(row.shard, row.second): round(row.p99_ns / MS, 1) for row in rows}


def test_percentiles_per_shard_and_lane() -> None:
    """Reads and writes of a shard are one; the lane has all of its shards."""
    found = sealed(
        {
            Scope("tcp", "0001", OpKind.READ): block(*[1] * 50),
            Scope("tcp", "0001", OpKind.WRITE): block(*[3] * 50),
            Scope("tcp", "0002", OpKind.READ): block(*[9] * 50, begin_ns=S),
        }
    )
    assert found == {("0001", 0): 3, (None, 0): 3, ("0002", 1): 9, (None, 1): 9}


def test_late_arrivals_count_and_refused_ones_do_not() -> None:
    """What has no reply that could be timed has no latency."""
    rows = Block()
    late, refused = Outcome.LATE, Outcome.REFUSED
    rows.add_failure(Failure(0, 0, 300 * MS, late, ErrorClass.LATE, 300 * MS, 0))
    rows.add_failure(
        Failure(S, S, S + 5 * MS, refused, ErrorClass.LOADING, S, S + 5 * MS)
    )
    found = sealed({Scope("tcp", "0001", OpKind.READ): rows})
    assert found == {("0001", 0): 300, (None, 0): 300}
