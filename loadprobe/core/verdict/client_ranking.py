"""Client lanes beside each other: who was served again first, who hides, who amplifies.

Pure. The definitions are in docs/measuring.md ("Clients beside each other"). All lanes
are judged over the same time: from the start of a change, or of an incident that
belongs to none, until the last of them is served again.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from loadprobe.clock import NEVER_NS, NS_PER_S, ClockPair
from loadprobe.core.intervals import (
    Interval,
    difference,
    intersection,
    length,
    union,
)
from loadprobe.core.judging.activity import Activity, seconds_of
from loadprobe.core.judging.latency import KEPT_S
from loadprobe.core.judging.outages import Outage, OutageKey
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.verdict.beside import LaneFacts, witnesses_of
from loadprobe.core.verdict.client_document import (
    ClientComparison,
    ClientRates,
    ClientRow,
)
from loadprobe.core.verdict.incidents import DarkTime, Incident, dark_time
from loadprobe.core.verdict.measures import bounds, ms
from loadprobe.core.verdict.quantities import Bounds
from loadprobe.core.verdict.step_phases import StepPhases

WARM_UP_S = 2
"""For so many seconds from its start a lane is not at rest: it connects."""

AMPLIFIED = 2.0
"""So many times what is usual is far above it, for connections and refreshes."""

RETRIED = 1.2
"""The same for attempts per arrival; 1 is usual."""

SLOW = 2.0
"""A longest response this many times that at rest is slow, for a client that hides."""

_Band = Callable[[Outage], Sequence[Interval]]


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that lanes are compared in.

    Args:
        about: what it was, in a few words.
        start_ns: its start.
        end_ns: its end; not before the end of its outages.
        outages: those that belong to it, without planned ones.
    """

    about: str
    start_ns: int
    end_ns: int
    outages: tuple[Outage, ...]


def find_happenings(
    steps: Iterable[StepPhases], incidents: Iterable[Incident]
) -> list[Happening]:
    """Return the changes, and the incidents that belong to none, by time.

    Args:
        steps: of the scenario.
        incidents: of the whole run.
    """
    found: list[Happening] = []
    known: set[OutageKey] = set()
    for step in steps:
        if step.start_ns is None:
            continue
        outages = tuple(o for lane in step.lanes for o in lane.outages)
        known.update(o.key for o in outages)
        ends = [*step.record.phases_ns.values(), *(o.end_ns for o in outages)]
        end_ns = max([step.start_ns, *ends])
        found.append(Happening(step.record.name, step.start_ns, end_ns, outages))
    for incident in incidents:
        own = tuple(o for o in incident.outages if o.key not in known)
        if own and not incident.is_planned:
            start_ns = min(o.start_ns for o in own)
            end_ns = max(o.end_ns for o in own)
            about = f"incident {incident.number}"
            found.append(Happening(about, start_ns, end_ns, own))
    return sorted(found, key=lambda happening: happening.start_ns)


def compare_clients(
    happenings: Sequence[Happening],
    lanes: Sequence[LaneFacts],
    activity: Activity,
    clock: ClockPair,
) -> list[ClientComparison]:
    """Return the lanes beside each other; nothing if fewer than two are clients.

    Args:
        happenings: what ``find_happenings`` returned.
        lanes: all lanes of the run.
        activity: what they did, second by second.
        clock: to show monotonic times as wall times.
    """
    if sum(not lane.is_witness for lane in lanes) < 2:
        return []
    busy = [seconds_of(each.start_ns, each.end_ns) for each in happenings]
    rest = {lane.name: _at_rest(lane, busy, activity) for lane in lanes}
    return [
        ClientComparison(
            about=happening.about,
            start_unix_ns=clock.to_wall(happening.start_ns),
            end_unix_ns=clock.to_wall(happening.end_ns),
            rows=_Compared(happening, lanes, activity, rest).rows(),
        )
        for happening in happenings
    ]


@dataclass(frozen=True, slots=True)
class _Rest:
    """How a lane is when nothing happens."""

    rates: ClientRates
    worst_ns: int


@dataclass(frozen=True, slots=True)
class _Place:
    """What a lane is ranked by.

    Args:
        end: between which times its last outage ended; zeros without one.
        dark: the bounds of its dark time.
        order: estimates of both and the worst response, for the order of equal ones.
    """

    end: Interval
    dark: Interval
    order: tuple[int, int, int]

    def is_behind(self, other: "_Place") -> bool:
        """Tell whether another one was certainly served again first.

        Intervals that overlap tell nothing: then the dark times decide, or nothing.
        """
        for own, others in ((self.end, other.end), (self.dark, other.dark)):
            if own[0] > others[1]:
                return True
            if own[1] < others[0]:
                return False
        return False


@dataclass(frozen=True, slots=True)
class _Compared:
    """One comparison in the making."""

    happening: Happening
    lanes: Sequence[LaneFacts]
    activity: Activity
    rest: Mapping[str, _Rest]

    def rows(self) -> list[ClientRow]:
        witnesses = [self._row(lane, None) for lane in self.lanes if lane.is_witness]
        clients = [lane for lane in self.lanes if not lane.is_witness]
        places = {lane.name: self._place(lane) for lane in clients}
        clients.sort(key=lambda lane: places[lane.name].order)
        ranked = [
            self._row(lane, 1 + sum(map(places[lane.name].is_behind, places.values())))
            for lane in clients
        ]
        return [*witnesses, *sorted(ranked, key=lambda row: row.rank or 0)]

    def _place(self, lane: LaneFacts) -> "_Place":
        own = self._outages(lane)
        dark = dark_time(own)
        seconds = self._seconds(dark_only=False)
        never = bool(self.activity.never_ended(own))
        return _Place(
            end=(
                NEVER_NS if never else max((o.core_end_ns for o in own), default=0),
                NEVER_NS if never else max((o.hull_end_ns for o in own), default=0),
            ),
            dark=(dark.lower_ns, dark.upper_ns),
            order=(
                NEVER_NS if never else max((o.end_ns for o in own), default=0),
                dark.estimate_ns,
                self.activity.worst_ns(lane.name, *seconds) or 0,
            ),
        )

    def _row(self, lane: LaneFacts, rank: int | None) -> ClientRow:
        own = self._outages(lane)
        rest = self.rest[lane.name]
        seconds = self._seconds(dark_only=False)
        worst_ns = self.activity.worst_ns(lane.name, *seconds)
        raised = self.activity.work(lane.name, *seconds).raised
        is_touched = bool(own) or (worst_ns or 0) > SLOW * rest.worst_ns
        rates = _rates(lane, [self._seconds(dark_only=True)], self.activity)
        failed = {o: sum(each.outcomes.get(o, 0) for each in own) for o in Outcome}
        return ClientRow(
            lane=lane.name,
            rank=rank,
            recovered_ms=self._recovered_ms(own),
            dark_ms=bounds(dark_time(own)),
            beyond_witness_ms=self._beyond(lane, own),
            longest_ms=ms(_longest_ns(own)),
            failed={o.label: count for o, count in failed.items() if count},
            raised=raised,
            worst_response_ms=None if worst_ns is None else ms(worst_ns),
            is_hiding=(
                rank is not None
                and is_touched
                and not raised
                and self._witness_was_dark(lane)
            ),
            amplifies=[] if rank is None else _amplified(rates, rest.rates),
            rates=rates,
            rates_at_rest=rest.rates,
            blind_ms=ms(self._blind_ns(lane)),
        )

    def _recovered_ms(self, own: Sequence[Outage]) -> float | None:
        if self.activity.never_ended(own):
            return None
        start_ns = self.happening.start_ns
        return ms(max((o.end_ns for o in own), default=start_ns) - start_ns)

    def _blind(self, lane: str) -> list[Interval]:
        (spans,) = (each.blind for each in self.lanes if each.name == lane)
        return [(span.start_ns, span.end_ns) for span in spans]

    def _blind_ns(self, lane: LaneFacts) -> int:
        happening = [(self.happening.start_ns, self.happening.end_ns)]
        return length(intersection([self._blind(lane.name), happening]))

    def _seconds(self, *, dark_only: bool) -> tuple[int, int]:
        """Return the seconds of the happening, or those in which anything was dark."""
        happening = self.happening
        start_ns, end_ns = happening.start_ns, happening.end_ns
        if dark_only and happening.outages:
            start_ns = min(o.start_ns for o in happening.outages)
            end_ns = max(o.end_ns for o in happening.outages)
        return seconds_of(start_ns, end_ns)

    def _outages(self, lane: LaneFacts) -> list[Outage]:
        return [o for o in self.happening.outages if o.scope.lane == lane.name]

    def _witness_was_dark(self, lane: LaneFacts) -> bool:
        return any(
            o.scope.lane == witness.name
            for shard in lane.shards
            for witness in witnesses_of(lane, shard, self.lanes)
            for o in _of(self.happening.outages, shard)
        )

    def _beyond(self, lane: LaneFacts, own: Sequence[Outage]) -> Bounds | None:
        if lane.is_witness or not any(other.is_witness for other in self.lanes):
            return None
        lower, estimate, upper = (
            length(
                span
                for shard in {o.scope.shard for o in own}
                for span in difference(
                    (part for o in _of(own, shard) for part in mine(o)),
                    self._witnessed(lane, shard, theirs),
                )
            )
            for mine, theirs in (
                (_core, _hull),
                (_estimate, _estimate),
                (_hull, _core),
            )
        )
        return bounds(DarkTime(lower, estimate, upper))

    def _witnessed(self, lane: LaneFacts, shard: str, band: _Band) -> list[Interval]:
        """Return when all witnesses of a lane were dark on a shard."""
        rows = _of(self.happening.outages, shard)
        return intersection(
            [
                [part for o in rows if o.scope.lane == witness.name for part in band(o)]
                for witness in witnesses_of(lane, shard, self.lanes)
            ]
        )


def _of(outages: Iterable[Outage], shard: str) -> list[Outage]:
    return [o for o in outages if o.scope.shard == shard]


def _estimate(outage: Outage) -> list[Interval]:
    return [(outage.start_ns, outage.end_ns)]


def _core(outage: Outage) -> list[Interval]:
    return outage.cores


def _hull(outage: Outage) -> list[Interval]:
    return [outage.hull]


def _longest_ns(outages: Sequence[Outage]) -> int:
    """Return the longest time that one shard was dark without a pause."""
    shards = {o.scope.shard for o in outages}
    spans = (
        union((o.start_ns, o.end_ns) for o in _of(outages, shard)) for shard in shards
    )
    return max((end - start for row in spans for start, end in row), default=0)


def _at_rest(lane: LaneFacts, busy: Iterable[Interval], activity: Activity) -> _Rest:
    """Return how a lane was in the seconds in which nothing happened."""
    until = lane.end_ns // NS_PER_S
    first = max(lane.begin_ns // NS_PER_S + WARM_UP_S, until - KEPT_S)
    calm = difference([(first, until)], busy)
    worst = (activity.worst_ns(lane.name, *span) or 0 for span in calm)
    return _Rest(_rates(lane, calm, activity), max(worst, default=0))


def _rates(
    lane: LaneFacts, spans: Sequence[Interval], activity: Activity
) -> ClientRates:
    """Return what a lane did per second, and per arrival, in spans of seconds.

    A witness tries nothing twice, so its attempts are not counted. Of a client that
    does not let itself be counted nothing is known.
    """
    seconds = length(spans)
    if not seconds or not (lane.is_witness or activity.is_counted(lane.name)):
        return ClientRates(None, None, None)
    arrivals = sum(activity.arrivals(lane.name, *span) for span in spans)
    work = [activity.work(lane.name, *span) for span in spans]
    attempts = sum(part.attempts for part in work)
    return ClientRates(
        attempts_per_arrival=(
            round(attempts / arrivals, 4) if arrivals and not lane.is_witness else None
        ),
        connects_per_s=round(sum(part.connects for part in work) / seconds, 4),
        refreshes_per_s=round(sum(part.refreshes for part in work) / seconds, 4),
    )


def _amplified(rates: ClientRates, rest: ClientRates) -> list[str]:
    """Return which of the rates are far above what is usual."""
    return [
        name
        for name, value, usual, factor in (
            (
                "attempts",
                rates.attempts_per_arrival,
                rest.attempts_per_arrival or 1.0,
                RETRIED,
            ),
            ("connects", rates.connects_per_s, rest.connects_per_s or 0.0, AMPLIFIED),
            (
                "refreshes",
                rates.refreshes_per_s,
                rest.refreshes_per_s or 0.0,
                AMPLIFIED,
            ),
        )
        if value is not None and value >= 1.0 and value >= factor * usual
    ]
