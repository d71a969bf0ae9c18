"""Processes that sleep at times, and what they see of faults: drawn, and simulated."""

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from hypothesis import strategies as st

from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.evidence import is_unseen
from loadprobe.core.judging.results import Results
from tests.support.judged import START_NS, OnSeal, judge
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SETTLE_NS,
    US,
    Fault,
    Kind,
    Nap,
    Plan,
    Simulated,
    awake_ns,
    simulate,
)

STALL_NS = 5 * MS
"""What was due longer ago than this when a process wakes up is never sent."""


class Disturbed(NamedTuple):
    """Arrivals of processes that slept at times, and the faults they met."""

    ended: list[Simulated]
    faults: list[Fault]
    naps: list[Nap]
    processes: int

    def __repr__(self) -> str:
        what = f"{len(self.ended)} arrivals of {self.processes} processes"
        return f"Disturbed({what}, {self.faults}, {self.naps})"

    @property
    def stalls(self) -> list[tuple[int, int, int]]:
        """Return when which process was blind."""
        return [(nap.process, nap.start_ns, nap.end_ns) for nap in self.naps]

    def judge(
        self, batch_ns: int | None = None, *, on_seal: OnSeal | None = None
    ) -> Results:
        """Return what is said about it."""
        return judge(
            self.ended,
            stalls=self.stalls,
            lane_processes=self.processes,
            batch_ns=batch_ns,
            on_seal=on_seal,
        )

    def is_seen(self, row: Simulated) -> bool:
        """Tell whether an arrival failed while its own process was looking."""
        decided = row.decided
        if not isinstance(decided, Failure):
            return False
        own = [n for n in self.naps if n.process == row.plan.process]
        spans = [(nap.start_ns, nap.end_ns) for nap in own]
        return not is_unseen(decided, spans, deadline_ns=DEADLINE_NS)


def disturb(
    faults: Sequence[Fault],
    naps: Sequence[Nap],
    *,
    processes: int,
    end_ns: int,
    period_ns: int = MS,
    rng: Random | None = None,
) -> Disturbed:
    """Return what processes that sleep at times see of some faults."""
    plans: list[Plan] = []
    for number, due_ns in enumerate(range(START_NS, end_ns, period_ns)):
        process = number % processes
        woke_ns = awake_ns(process, due_ns, naps)
        if woke_ns - due_ns > STALL_NS:
            continue
        late_ns = woke_ns - due_ns + (rng.randrange(200 * US) if rng else 50 * US)
        out_ns, back_ns = (
            (rng.randint(20 * US, 300 * US), rng.randint(20 * US, 300 * US))
            if rng
            else (100 * US, 100 * US)
        )
        plans.append(Plan(due_ns, late_ns, out_ns, back_ns, process))
    ended = simulate(plans, faults, naps)
    return Disturbed(ended, list(faults), list(naps), processes)


@st.composite
def disturbed(draw: st.DrawFn) -> Disturbed:
    """Draw faults, and blind times laid over them in any way."""
    rng = Random(draw(st.integers(0, 2**32)))
    processes = draw(st.integers(1, 2))
    faults: list[Fault] = []
    at = START_NS + 60 * MS
    for _ in range(draw(st.integers(1, 2))):
        kind = draw(st.sampled_from(list(Kind)))
        start = at + rng.randrange(20 * MS)
        span = rng.randint(MS, draw(st.sampled_from([10 * MS, 150 * MS])))
        if kind is Kind.FREEZE:
            span += DEADLINE_NS
        faults.append(Fault(kind, start, start + span))
        at = start + span + DEADLINE_NS + SETTLE_NS + 50 * MS
    naps: list[Nap] = []
    for process in range(processes):
        woke = START_NS + 30 * MS
        for _ in range(draw(st.integers(0, 4))):
            start = woke + rng.randrange(MS, 120 * MS)
            woke = start + rng.randint(
                STALL_NS + 1, draw(st.sampled_from([9, 90])) * MS
            )
            if woke > at - 30 * MS:
                break
            naps.append(Nap(process, start, woke))
    period_ns = draw(st.sampled_from([MS // 2, MS, 3 * MS]))
    return disturb(
        faults, naps, processes=processes, end_ns=at, period_ns=period_ns, rng=rng
    )
