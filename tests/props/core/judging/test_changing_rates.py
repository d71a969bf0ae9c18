"""Properties of the judging while the rate of a lane changes, with known downtime."""

from bisect import bisect_left
from itertools import pairwise, takewhile
from random import Random
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from loadprobe.core.intervals import difference, union
from loadprobe.core.judging.columns import Failure
from loadprobe.core.judging.results import Results
from loadprobe.core.load.pace import Pace
from loadprobe.core.load.schedule import make_schedule
from tests.support.examples import examples
from tests.support.judged import START_NS, essence, judge
from tests.support.simulation import (
    DEADLINE_NS,
    MS,
    SETTLE_NS,
    US,
    Fault,
    Kind,
    Plan,
    Simulated,
    simulate,
)

RATES = st.sampled_from([15.0, 100.0, 700.0])


class Changing(NamedTuple):
    """Arrivals of a rate that changes, and the faults they met."""

    ended: list[Simulated]
    faults: list[Fault]
    paces: list[Pace]

    @property
    def failed(self) -> list[int]:
        """Return when the arrivals were due that failed."""
        rows = (row.decided for row in self.ended)
        return [row.due_ns for row in rows if isinstance(row, Failure)]

    def __repr__(self) -> str:
        return f"Changing({len(self.ended)} arrivals, {self.faults}, {self.paces})"


@st.composite
def changing(draw: st.DrawFn) -> Changing:
    """Draw one to three faults under a load that changes before, in and after them."""
    rng = Random(draw(st.integers(0, 2**32)))
    faults: list[Fault] = []
    at = START_NS + 150 * MS
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(list(Kind)))
        start = at + draw(st.integers(0, 20 * MS))
        length = draw(st.integers(1 * MS, 150 * MS))
        length += DEADLINE_NS if kind is Kind.FREEZE else 0
        faults.append(Fault(kind, start, start + length))
        at = start + length + DEADLINE_NS + SETTLE_NS + 150 * MS
    paces = [Pace.steady(draw(RATES))]
    moments = draw(st.lists(st.integers(0, at - START_NS), min_size=1, max_size=5))
    for moment in sorted(moments):
        ramp_s = draw(st.sampled_from([0.0, 0.03, 0.2]))
        paces.append(paces[-1].changed(moment, draw(RATES), ramp_s))
    kind_of_schedule = draw(st.sampled_from(["constant", "poisson"]))
    dues = make_schedule(kind_of_schedule, paces).due_offsets(0, 1)  # type: ignore[arg-type]
    plans = [
        Plan(
            due_ns=START_NS + due,
            late_ns=rng.randrange(200 * US),
            out_ns=rng.randint(20 * US, 200 * US),
            back_ns=rng.randint(20 * US, 200 * US),
            process=index % 3,
        )
        for index, due in takewhile(lambda a: a[1] < at - START_NS, dues)
    ]
    return Changing(simulate(plans, faults), faults, paces)


def check_truth(run: Changing, results: Results) -> None:
    """Check that what is certain is true, and what an arrival met is in the hulls."""
    hulls = union(o.hull for o in results.outages)
    cores = union(core for o in results.outages for core in o.cores)
    assert difference(cores, [fault.truth for fault in run.faults]) == []
    for fault in run.faults:
        start, end = fault.truth
        if any(start <= due < end for due in run.failed):
            assert difference([fault.truth], hulls) == [], fault


def check_counts(run: Changing, results: Results) -> None:
    """Check that every arrival is counted once, as what it was."""
    (totals,) = results.scope_totals.values()
    assert (totals.arrivals, totals.failed) == (len(run.ended), len(run.failed))
    assert totals.failed == sum(o.failed for o in results.outages)
    assert totals.unseen == 0
    assert results.lane_totals["tcp"].blind == []


def check_gaps(run: Changing, results: Results) -> None:
    """Check that outages say how far apart arrivals were there, not elsewhere."""
    dues = sorted(row.plan.due_ns for row in run.ended)
    for outage in results.outages:
        first = bisect_left(dues, outage.first_due_ns)
        last = bisect_left(dues, outage.last_due_ns)
        around = dues[max(0, first - 1) : last + 2]
        assert outage.probe_gap_ns == max(b - a for a, b in pairwise(around))


@examples(25)
@given(changing(), st.integers(20 * MS, 500 * MS))
def test_what_is_said_is_right_whatever_the_rate(run: Changing, batch_ns: int) -> None:
    """Bounds, counts and gaps hold across changes, and sealing in steps tells the same.

    See the checks for each.
    """
    results = judge(run.ended)
    check_truth(run, results)
    check_counts(run, results)
    check_gaps(run, results)
    assert essence(judge(run.ended, batch_ns=batch_ns)) == essence(results)
