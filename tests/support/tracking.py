"""What an outage tracker is fed with."""

from loadprobe.core.judging.columns import Failure, Scope
from loadprobe.core.judging.outage_tracker import OutageTracker
from loadprobe.core.judging.outages import Outage, Row
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

MS = 1_000_000
SCOPE = Scope("tcp", "0001", OpKind.WRITE)
DEADLINE_NS = 250 * MS


def served(due: float, *, took: float = 0.2, late: float = 0.0) -> Row:
    """Return an arrival served after ``took`` ms, all in ms."""
    sent = due + late
    return round(due * MS), round(sent * MS), round((sent + took) * MS)


def refused(due: float, *, took: float = 0.2, late: float = 0.0) -> Failure:
    """Return an arrival refused by an answer, all in ms."""
    at, sent, done = served(due, took=took, late=late)
    return Failure(at, sent, done, Outcome.REFUSED, ErrorClass.CLUSTERDOWN, sent, done)


def late(due: float, done: float, *, spoke: float | None = None) -> Failure:
    """Return an arrival whose reply came too late, in ms.

    The target spoke again at ``spoke``, with this very reply by default.
    """
    at, end = round(due * MS), round(done * MS)
    since = end if spoke is None else round(spoke * MS)
    return Failure(at, at, end, Outcome.LATE, ErrorClass.LATE, since, at)


def track(
    rows: list[Row], failures: list[Failure], end_ms: int = 10_000
) -> list[Outage]:
    """Return the outages among arrivals given by due."""
    tracker = OutageTracker(SCOPE, deadline_ns=DEADLINE_NS, begin_ns=0)
    tracker.feed(rows, failures)
    tracker.close(end_ms * MS)
    return tracker.drain()[1]


def ms(*times_ns: int) -> tuple[float, ...]:
    """Return times in ms."""
    return tuple(t / MS for t in times_ns)
