"""What the aggregate is fed with."""

from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
D = 250 * MS
ONE = LaneInfo("tcp", False, (0,), D)
SCOPE = Scope("tcp", "0001", OpKind.READ)


def served(*dues_ms: float, took_ms: float = 0.5) -> Block:
    """Return a block of arrivals sent 0.1 ms late and served after ``took_ms``."""
    block = Block()
    for due_ms in dues_ms:
        due = round(due_ms * MS)
        block.add_served(due, due + MS // 10, due + round(took_ms * MS))
    return block


def refuse(block: Block, *dues_ms: float) -> Block:
    """Add refused arrivals."""
    for due_ms in dues_ms:
        due = round(due_ms * MS)
        done = due + MS // 2
        outcome = Outcome.REFUSED
        block.add_failure(
            Failure(due, due, done, outcome, ErrorClass.CLUSTERDOWN, due, done)
        )
    return block


def begun(lane: LaneInfo, at_ms: int = 0) -> Aggregate:
    """Return an aggregate whose processes have begun."""
    aggregate = Aggregate([lane])
    for process in lane.processes:
        aggregate.start_process(process, at_ms * MS)
    return aggregate
