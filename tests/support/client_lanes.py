"""Client lanes, and how they compare."""

from collections.abc import Mapping

from loadprobe.clock import ClockPair
from loadprobe.core.judging.activity import Activity, Work
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.judging.latency import SecondHistograms
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind, Outcome
from loadprobe.core.verdict.beside import LaneFacts
from loadprobe.core.verdict.client_document import ClientComparison, ClientRow
from loadprobe.core.verdict.client_ranking import (
    Happening,
    compare_clients,
)
from tests.support.outages import outage
from tests.support.scenario_run import MS, S

CLOCK = ClockPair(0, 1_700_000_000 * S)
SHARDS = ("0001", "0002")


def lane(name: str, *, is_witness: bool = False, tls: bool = False) -> LaneFacts:
    """Return a lane that was observed for 30 s."""
    return LaneFacts(name, tls, is_witness, SHARDS, 0, 30 * S)


LANES = [lane("wire", is_witness=True), lane("slow"), lane("quick")]


def active(
    during: dict[str, Work],
    *,
    worst_ms: int = 2,
    served_until: Mapping[str, int] | None = None,
) -> Activity:
    """Return 30 s with 10 arrivals and attempts a second, and work in second 11.

    Responses take 2 ms; in second 11 those of ``slow`` take longer. Some lanes may be
    served until a second only.
    """
    activity = Activity()
    for second in range(30):
        for each in LANES:
            counts = SecondCounts(Scope(each.name, "0001", OpKind.READ), second)
            is_served = second < (served_until or {}).get(each.name, 30)
            counts.counts[Outcome.SERVED if is_served else Outcome.UNKNOWN] = 10
            activity.add_seconds([counts])
            is_slow = second == 11 and each.name == "slow"
            took = Histogram()
            took.record_many([(worst_ms if is_slow else 2) * MS])
            row = SecondHistograms(each.name, OpKind.READ, second, response=took)
            activity.add_histograms([row])
            work = Work(attempts=10)
            if second == 11:
                work = during.get(each.name, work)
            activity.add_work(each.name, second * S, work)
    return activity


def compared(
    *outages: Outage,
    activity: Activity | None = None,
    lanes: list[LaneFacts] | None = None,
) -> ClientComparison:
    """Return the comparison in a change from 11 s to 12 s."""
    happening = Happening("failover", 11 * S, 12 * S, outages)
    given = LANES if lanes is None else lanes
    (found,) = compare_clients([happening], given, activity or active({}), CLOCK)
    return found


def by_lane(comparison: ClientComparison) -> dict[str, ClientRow]:
    """Return the rows of a comparison."""
    return {row.lane: row for row in comparison.rows}


WIRE = outage(11_100, 11_400, lane="wire")
SLOW = outage(11_100, 11_900, lane="slow")
QUICK = outage(11_120, 11_440, lane="quick")
