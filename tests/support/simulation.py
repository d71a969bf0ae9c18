"""A simulated target in virtual time, with known truth, for properties of the judging.

Pure: every delay is given. Arrivals reach the server ``out_ns`` after they were sent,
wait their turn there, and their replies take ``back_ns`` to be parsed, or longer if the
loop of their process is not looking.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.outages import Served
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

US = 1_000
MS = 1_000_000
SCOPE = Scope("tcp", "0001", OpKind.READ)
DEADLINE_NS = 50 * MS
SETTLE_NS = 100 * MS
SCOUT_NS = 1 * MS
WORK_NS = 10 * US
"""Time the server spends on one arrival."""


class Kind(StrEnum):
    """How the server fails."""

    REFUSE = "refuse"
    """It answers with an error."""
    RESET = "reset"
    """Its connections are lost and new ones refused."""
    FREEZE = "freeze"
    """It does nothing, and answers everything afterwards."""
    BLACKHOLE = "blackhole"
    """What it gets is lost."""


@dataclass(frozen=True, slots=True)
class Fault:
    """The server fails during [start_ns, end_ns)."""

    kind: Kind
    start_ns: int
    end_ns: int

    @property
    def truth(self) -> tuple[int, int]:
        """Return the interval in which arrivals cannot be served."""
        if self.kind is Kind.FREEZE:
            return self.start_ns, max(self.start_ns, self.end_ns - DEADLINE_NS)
        return self.start_ns, self.end_ns


@dataclass(frozen=True, slots=True)
class Plan:
    """One arrival before it is sent; delays in ns."""

    due_ns: int
    late_ns: int
    out_ns: int
    back_ns: int
    process: int

    @property
    def sent_ns(self) -> int:
        """Return when it is handed to its socket."""
        return self.due_ns + self.late_ns

    @property
    def reaches_ns(self) -> int:
        """Return when it reaches the server."""
        return self.sent_ns + self.out_ns


@dataclass(frozen=True, slots=True)
class Nap:
    """The loop of a process should have woken at ``start_ns`` and did at ``end_ns``."""

    process: int
    start_ns: int
    end_ns: int


Decided = Served | Failure


@dataclass(frozen=True, slots=True)
class Simulated:
    """An arrival with its end, and whether it met a fault."""

    plan: Plan
    decided: Decided
    fault: Fault | None


def _same_for_all(_due_ns: int) -> int:
    return DEADLINE_NS


def simulate(
    plans: Iterable[Plan],
    faults: Sequence[Fault],
    naps: Sequence[Nap] = (),
    *,
    deadline_of: Callable[[int], int] = _same_for_all,
) -> list[Simulated]:
    """Return how the arrivals end, by due time.

    Args:
        plans: the arrivals.
        faults: of the server.
        naps: when processes were not looking.
        deadline_of: returns the deadline of an arrival by its due time.
    """
    free_ns = 0
    ended: list[Simulated] = []
    answered: list[tuple[Plan, int, Fault | None]] = []
    for plan in sorted(plans, key=lambda p: p.reaches_ns):
        fault = next((f for f in faults if _meets(plan, f, naps)), None)
        if fault is not None and fault.kind is not Kind.FREEZE:
            ended.append(Simulated(plan, _fail(plan, fault, naps), fault))
            continue
        start_ns = max(plan.reaches_ns, fault.end_ns if fault else 0, free_ns)
        free_ns = start_ns + WORK_NS
        answered.append((plan, free_ns + plan.back_ns, fault))
    read = [
        (plan, *_read(plan.process, reply_ns, naps), fault)
        for plan, reply_ns, fault in answered
    ]
    for plan, came_ns, done_ns, fault in read:
        resumed_ns = came_ns
        for freeze in faults:
            if freeze.kind is Kind.FREEZE and plan.due_ns < freeze.end_ns <= done_ns:
                # The first reply after the silence, whosever it is.
                first_ns = min(
                    came
                    for other, came, done, _ in read
                    if other.process == plan.process and done >= freeze.end_ns
                )
                resumed_ns = min(resumed_ns, first_ns)
        deadline_ns = deadline_of(plan.due_ns)
        decided = _reply(plan, came_ns, done_ns, resumed_ns, deadline_ns)
        ended.append(Simulated(plan, decided, fault))
    ended.sort(key=lambda s: s.decided)
    return ended


def awake_ns(process: int, at_ns: int, naps: Sequence[Nap]) -> int:
    """Return when a process is awake, from a time on."""
    return _read(process, at_ns, naps)[1]


def _read(process: int, reply_ns: int, naps: Sequence[Nap]) -> tuple[int, int]:
    """Return since when a reply may have waited to be read, and when it was."""
    for nap in naps:
        if nap.process == process and nap.start_ns <= reply_ns < nap.end_ns:
            return nap.start_ns, nap.end_ns
    return reply_ns, reply_ns


def _meets(plan: Plan, fault: Fault, naps: Sequence[Nap]) -> bool:
    if fault.kind is Kind.RESET:
        # All connections break; the server hears of an arrival once one is back.
        connected_ns = _connected(fault, plan.process, naps)
        return fault.start_ns <= plan.reaches_ns and plan.sent_ns < connected_ns
    return fault.start_ns <= plan.reaches_ns < fault.end_ns


def _reply(
    plan: Plan, came_ns: int, done_ns: int, resumed_ns: int, deadline_ns: int
) -> Decided:
    due, sent = plan.due_ns, plan.sent_ns
    if came_ns <= due + deadline_ns:
        return Served(due, sent, done_ns)
    if done_ns <= due + deadline_ns + SETTLE_NS:
        return Failure(
            due, sent, done_ns, Outcome.LATE, ErrorClass.LATE, resumed_ns, sent
        )
    return _timeout(plan)


def _timeout(plan: Plan) -> Failure:
    due, sent = plan.due_ns, plan.sent_ns
    evidence = (due, sent)
    return Failure(due, sent, -1, Outcome.UNKNOWN, ErrorClass.TIMEOUT, *evidence)


def _attempts(
    fault: Fault, process: int, naps: Sequence[Nap]
) -> Iterable[tuple[int, int]]:
    """Yield (start, end) of the attempts after a reset; the last one succeeds."""
    start = awake_ns(process, fault.start_ns + 100 * US, naps)
    while True:
        yield start, awake_ns(process, start + 200 * US, naps)
        if start + 100 * US >= fault.end_ns:
            return
        start = awake_ns(process, start + SCOUT_NS, naps)


def _connected(fault: Fault, process: int, naps: Sequence[Nap]) -> int:
    return list(_attempts(fault, process, naps))[-1][1]


def _fail(plan: Plan, fault: Fault, naps: Sequence[Nap]) -> Failure:
    due, sent = plan.due_ns, plan.sent_ns
    if fault.kind is Kind.BLACKHOLE:
        return _timeout(plan)
    if fault.kind is Kind.REFUSE:
        came_ns = plan.reaches_ns + WORK_NS + plan.back_ns
        done = awake_ns(plan.process, came_ns, naps)
        return Failure(
            due, sent, done, Outcome.REFUSED, ErrorClass.CLUSTERDOWN, sent, done
        )
    broken_ns = awake_ns(plan.process, fault.start_ns + 100 * US, naps)
    reset = (min(sent, fault.start_ns), broken_ns)
    if sent < broken_ns:
        return Failure(due, sent, -1, Outcome.UNKNOWN, ErrorClass.RESET, *reset)
    attempts = list(_attempts(fault, plan.process, naps))
    refused = [a for a in attempts[:-1] if a[1] <= sent]
    evidence = refused[-1] if refused else reset
    return Failure(due, sent, -1, Outcome.UNSENT, ErrorClass.CONNECT_REFUSED, *evidence)


def to_blocks(ended: Iterable[Simulated]) -> dict[int, Block]:
    """Return one block per process, in the given order."""
    blocks: dict[int, Block] = {}
    for row in ended:
        block = blocks.setdefault(row.plan.process, Block())
        if isinstance(row.decided, Failure):
            block.add_failure(row.decided)
        else:
            block.add_served(*row.decided)
    return blocks


def decided_ns(row: Simulated) -> int:
    """Return when the probe knows the arrival's end."""
    decided = row.decided
    if decided[2] >= 0:
        return decided[2]
    return decided[0] + DEADLINE_NS + SETTLE_NS
