"""What the verdict says about op kinds beside reads and writes of primaries. Pure."""

from collections.abc import Iterable

from loadprobe.core.judging.outcome import OpKind
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.summary import ConnectSummary, LaneSummary


def replica_sentences(lanes: Iterable[LaneSummary]) -> list[str]:
    """Say of which lanes reads by replicas were dark, and what else was."""
    sentences: list[str] = []
    for lane in lanes:
        by_op = lane.downtime_by_op_ms
        reads = by_op.get(OpKind.REPLICA_READ.label)
        if reads is None or not reads.any_shard.upper:
            continue
        writes = by_op.get(OpKind.WRITE.label)
        others = (
            "they are all its load"
            if writes is None
            else f"its writes, which go to primaries, for {_text(writes.any_shard)}"
        )
        sentences.append(
            f"lane {lane.name}: reads by replicas were dark for "
            f"{_text(reads.any_shard)}; {others}"
        )
    return sentences


def connect_sentences(connects: Iterable[ConnectSummary]) -> list[str]:
    """Say on which lanes no new connection could be made, and for how long."""
    sentences: list[str] = []
    for lane in connects:
        dark = lane.downtime_ms.any_shard
        if not dark.upper:
            continue
        by_plan = sum(scope.planned_failed for scope in lane.scopes)
        attempts = lane.arrivals - by_plan
        failed = attempts - lane.outcomes.get("served", 0)
        shards = [s for s, time in lane.downtime_ms.shards.items() if time.upper]
        sentences.append(
            f"lane {lane.lane}: {failed:,} of {attempts:,} new connections failed,"
            f" on shard {', '.join(shards)} for {_text(dark)}; "
            "this is not counted as downtime"
        )
    return sentences


def _text(time: Bounds) -> str:
    if not time.upper:
        return "0 ms"
    return f"{time.estimate:,.0f} ms [{time.lower:,.0f}, {time.upper:,.0f}]"
