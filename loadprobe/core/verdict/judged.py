"""A run with its outages judged: a verdict is made from it, live and at the end."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadprobe.clock import ClockPair
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.outages import Outage, OutageKey
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.verdict.attribution import Attribution
from loadprobe.core.verdict.blame import Blamed, Watched
from loadprobe.core.verdict.incidents import Incident, group_incidents
from loadprobe.core.verdict.measures import downtime_ms
from loadprobe.core.verdict.places import where_text
from loadprobe.core.verdict.quantities import DowntimeMs


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """What was looked at, with what is derived from it once.

    Args:
        watched: what was looked at.
        blamed: the outages in parts, with their causes, by time.
        outages: those of them that were not planned.
        planned: those that were.
        causes: why there was an outage, by its key.
        incidents: of both.
        shards: names of the shards of each lane.
        clock: to show monotonic times as wall times.
    """

    watched: Watched
    blamed: Sequence[Blamed]
    outages: Sequence[Outage]
    planned: Sequence[Outage]
    causes: Mapping[OutageKey, Attribution]
    incidents: Sequence[Incident]
    shards: Mapping[str, tuple[str, ...]]
    clock: ClockPair

    @property
    def totals(self) -> list[ScopeTotals]:
        """Return what was counted, by scope."""
        return list(self.watched.scope_totals.values())

    @property
    def wrong(self) -> int:
        """Return how many replies did not match what was written."""
        return sum(totals.counts[Outcome.WRONG] for totals in self.totals)

    @property
    def availability(self) -> float | None:
        """Return which part of the arrivals was served, without those by plan."""
        return availability_of(self.totals, sum(o.failed for o in self.planned))

    @property
    def witnesses(self) -> tuple[str, ...]:
        """Return the lanes that downtime is told from: the witnesses, or else all."""
        lanes = self.watched.lanes
        found = tuple(lane.name for lane in lanes if lane.is_witness)
        return found or tuple(lane.name for lane in lanes)

    @property
    def all_shards(self) -> list[str]:
        """Return the names of the shards of all lanes."""
        return sorted({shard for shards in self.shards.values() for shard in shards})

    def where(self, outages: Iterable[Outage]) -> str:
        """Return shards and lanes of some outages in words."""
        places = (o.scope[:2] for o in outages)
        return where_text(places, lanes=list(self.shards), shards=self.all_shards)

    def downtime_of(
        self, lanes: Sequence[str], outages: Iterable[Outage]
    ) -> DowntimeMs:
        """Return how long shards were dark in outages of some lanes."""
        own = [o for o in outages if o.scope.lane in lanes]
        names = sorted({shard for lane in lanes for shard in self.shards[lane]})
        return downtime_ms(own, names, of_shards=True)


def judge_run(
    watched: Watched, blamed: Sequence[Blamed], *, clock: ClockPair, quiet_ns: int
) -> JudgedRun:
    """Return a run, judged.

    Args:
        watched: what was looked at.
        blamed: its outages, as ``core.verdict.blame`` found them.
        clock: to show monotonic times as wall times.
        quiet_ns: outages closer together than this are one incident.
    """
    outages = [part.outage for part in blamed if not part.is_planned]
    by_plan = [part.outage for part in blamed if part.is_planned]
    blind = [span for t in watched.lane_totals.values() for span in t.blind]
    return JudgedRun(
        watched=watched,
        blamed=blamed,
        outages=outages,
        planned=by_plan,
        causes={part.outage.key: part.attribution for part in blamed},
        incidents=group_incidents(outages, blind, quiet_ns=quiet_ns, planned=by_plan),
        shards=watched.shards(),
        clock=clock,
    )


def availability_of(totals: Sequence[ScopeTotals], planned: int) -> float | None:
    """Return served / all arrivals, without the given number that failed by plan."""
    arrivals = sum(t.arrivals for t in totals) - planned
    return sum(t.served for t in totals) / arrivals if arrivals else None
