"""Outages as values."""

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000


def outage(
    start: int,
    end: int,
    *,
    lane: str = "tcp",
    shard: str = "0001",
    op: OpKind = OpKind.READ,
) -> Outage:
    """Return an outage at [start, end) ms, with bounds 1 ms to either side."""
    return Outage(
        scope=Scope(lane, shard, op),
        hull_start_ns=(start - 1) * MS,
        start_ns=start * MS,
        core_start_ns=(start + 1) * MS,
        core_end_ns=(end - 1) * MS,
        end_ns=end * MS,
        hull_end_ns=(end + 1) * MS,
        first_due_ns=(start + 1) * MS,
        last_due_ns=(end - 1) * MS,
        failed=2,
        classes={ErrorClass.RESET: 2},
        outcomes={Outcome.UNKNOWN: 2},
        probe_gap_ns=MS,
        open_start=False,
        open_end=False,
    )
