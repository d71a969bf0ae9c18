"""When people are told of an incident: as it opens, gets worse, and closes.

Pure. The clock is that of the judgement: how far all arrivals are judged comes in with
the outages. Outages, and blind time, are grouped as the verdict does it
(``core.verdict.incidents``): what is closer together than the quiet time is one
incident.

What bounds the number of occasions: an incident is told of when it was dark for
``min_dark_ns``, once. It got worse if a lane or a shard joined, or when it was dark for
twice as long as at the last telling; that is told ``pause_ns`` after the last telling
at the earliest, all of it at once, while something is dark, and ``MOST_WORSENINGS``
times. It is over when nothing was dark for the quiet time. What was dark when an
earlier process ended is dark until it is seen lit.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import Planned, is_planned
from loadprobe.core.verdict.incident_so_far import TrackedIncident
from loadprobe.core.verdict.incidents import DarkTime
from loadprobe.core.verdict.occasions import (
    Occasion,
    OccasionKind,
    OpenIncident,
    TellingRules,
)
from loadprobe.core.verdict.plan_edges import cut_at_plan

MOST_WORSENINGS = 20


class IncidentTracker:
    """Finds the occasions to tell of incidents (see the module).

    Args:
        rules: what is told.
        name: returns the name of an incident that begins at a time.
        resumed: one that an earlier run told of, and did not see the end of.
    """

    def __init__(
        self,
        rules: TellingRules,
        *,
        name: Callable[[int], str],
        resumed: OpenIncident | None = None,
    ) -> None:
        self._rules = rules
        self._name = name
        self._resumed = resumed
        self._incident: TrackedIncident | None = None
        self._open: dict[Scope, Outage] = {}
        self._until_ns = 0
        self._is_last = False

    @property
    def open_incident(self) -> OpenIncident | None:
        """Return the incident that was told of and is not over."""
        found = self._incident
        if found is None:
            return self._resumed
        if not found.told:
            return None
        return OpenIncident(
            name=found.name,
            start_ns=found.start_ns,
            told=found.told,
            worsenings=found.worsenings,
            dark=found.dark(),
            next_dark_ns=found.next_dark_ns,
            places=tuple(found.places),
            outages=found.count(),
            is_planned=self._rules.is_planned,
            dark_now=tuple(sorted(self._dark_scopes(found))),
        )

    def recall(
        self, outages: Iterable[Outage], planned: Sequence[Planned], until_ns: int
    ) -> None:
        """Take the outages of the incident that is resumed, where they are all known.

        What was summed up of them is then not needed, and nothing is counted twice.

        Args:
            outages: of this run that ended until now.
            planned: darkness that was planned so far.
            until_ns: everything due before had been judged.
        """
        known = self._resumed
        self._resume(until_ns)
        incident = self._incident
        if known is None or incident is None:
            return
        incident.before, incident.outages_before = DarkTime(), 0
        parts = [
            part
            for outage in outages
            for part in self._parts(outage, planned)
            if part.end_ns > known.start_ns
        ]
        for part in parts:
            incident.keep(part)
        # One that goes on is met when more is judged.
        incident.end_ns = max((part.end_ns for part in parts), default=until_ns)

    def take(
        self,
        *,
        closed: Iterable[Outage],
        current: Mapping[Scope, Outage],
        blind: Iterable[BlindSpan] = (),
        planned: Sequence[Planned] = (),
        until_ns: int,
        is_last: bool = False,
        is_lit: Callable[[Scope], bool] = lambda _scope: True,
    ) -> list[Occasion]:
        """Take what became certain; return what is to be told.

        Args:
            closed: outages that ended since the last time.
            current: those that are going on.
            blind: in which a lane was blind.
            planned: darkness that was planned so far.
            until_ns: everything due before has been judged.
            is_last: the load has ended.
            is_lit: tells whether anything of a scope was served since this process
                began.
        """
        self._until_ns, self._is_last = until_ns, is_last
        self._resume(until_ns)
        closed = list(closed)
        for outage in closed:
            self._open.pop(outage.scope, None)
        # One that waits for its error bars is in neither, and is as it was.
        self._open.update(current)
        incident = self._incident
        if incident is None and not closed and not self._open:
            return []
        if incident is not None:
            incident.going_on, incident.dark_now = [], set()
            incident.resumed_ns = incident.resumed_ns or until_ns
            if incident.unlit:
                seen = {outage.scope for outage in closed} | set(self._open)
                incident.unlit = {s for s in incident.unlit - seen if not is_lit(s)}
        occasions = self._group(closed, blind, planned)
        return occasions + self._decide()

    def leave(self) -> list[Occasion]:
        """Return what is to be told at the end of the run; all outages have ended."""
        incident = self._incident
        if incident is None or not incident.told:
            return []
        still = {scope[:2] for scope in incident.left_open(self._until_ns)}
        if not still and not self._open:
            return self._close()
        incident.dark_now = still
        return [self._tell(OccasionKind.LEFT)]

    def _resume(self, until_ns: int) -> None:
        """Go on with an incident from before, from the first moment that is judged."""
        known = self._resumed
        if known is None or not until_ns:
            return
        self._resumed = None
        self._incident = TrackedIncident(
            start_ns=known.start_ns,
            latest_ns=until_ns,
            end_ns=until_ns,
            name=known.name,
            told=known.told,
            told_ns=until_ns,
            worsenings=known.worsenings,
            next_dark_ns=known.next_dark_ns,
            before=known.dark,
            outages_before=known.outages,
            places=dict.fromkeys(known.places),
            places_told=set(known.places),
            unlit=set(known.dark_now),
        )

    def _dark_scopes(self, incident: TrackedIncident) -> set[Scope]:
        """Return what is dark, as far as anybody has looked."""
        dark = {o.scope for o in incident.going_on if o.scope[:2] in incident.dark_now}
        return dark | incident.left_open(self._until_ns)

    def _group(
        self,
        closed: Iterable[Outage],
        blind: Iterable[BlindSpan],
        planned: Sequence[Planned],
    ) -> list[Occasion]:
        """Put outages and blind time into incidents, by time."""
        met: list[tuple[int, int, Outage | BlindSpan, bool]] = []
        for outage in closed:
            parts = self._parts(outage, planned)
            met += ((p.hull_start_ns, p.hull_end_ns, p, False) for p in parts)
        for outage in self._open.values():
            parts = self._parts(outage, planned)
            met += ((p.hull_start_ns, p.hull_end_ns, p, True) for p in parts)
        if not self._rules.is_planned:
            met += ((s.start_ns, s.end_ns, s, False) for s in blind)
        occasions: list[Occasion] = []
        for start_ns, end_ns, part, is_open in sorted(met, key=lambda row: row[:2]):
            incident = self._incident
            # What has not been seen lit goes on, however long ago that was looked at.
            is_near = incident is not None and (
                start_ns - incident.latest_ns < self._rules.quiet_ns
                or bool(incident.dark_now or incident.unlit)
            )
            if isinstance(part, BlindSpan):
                if incident is not None and is_near:
                    incident.latest_ns = max(incident.latest_ns, end_ns)
                continue
            if not is_near:
                occasions += self._close()
                incident = TrackedIncident(part.start_ns, part.hull_end_ns, part.end_ns)
                self._incident = incident
            assert incident is not None, "there is one that is near, or a new one"
            incident.meet(part)
            if not is_open:
                incident.keep(part)
                continue
            incident.going_on.append(part)
            if part.end_ns == self._open[part.scope].end_ns:
                incident.dark_now.add(part.scope[:2])
        return occasions

    def _parts(self, outage: Outage, planned: Sequence[Planned]) -> list[Outage]:
        """Return what of an outage is told of here: by plan, or not."""
        if outage.scope.op.is_apart:
            return []
        wanted = self._rules.is_planned
        if not planned:
            return [] if wanted else [outage]
        return [
            part
            for part in cut_at_plan([outage], planned)
            if is_planned(part, planned) == wanted
        ]

    def _decide(self) -> list[Occasion]:
        incident, rules = self._incident, self._rules
        if incident is None:
            return []
        occasions: list[Occasion] = []
        if not incident.told:
            occasions += self._open_up(incident)
        elif incident.dark_now and self._is_worse(incident):
            incident.worsenings += 1
            occasions.append(self._tell(OccasionKind.WORSENED))
        is_quiet = self._until_ns - incident.latest_ns >= rules.quiet_ns
        is_dark = incident.dark_now or incident.is_waited_for(
            self._until_ns, is_last=self._is_last
        )
        if is_quiet and not is_dark:
            occasions += self._close()
        return occasions

    def _open_up(self, incident: TrackedIncident) -> list[Occasion]:
        """Tell of an incident for the first time, if it is worth it."""
        has_any = bool(incident.ended or incident.going_on)
        if not has_any or incident.dark_ns() < self._rules.min_dark_ns:
            return []
        incident.name = self._name(incident.start_ns)
        return [self._tell(OccasionKind.OPENED)]

    def _is_worse(self, incident: TrackedIncident) -> bool:
        if self._until_ns - incident.told_ns < self._rules.pause_ns:
            return False
        if incident.worsenings >= MOST_WORSENINGS:
            return False
        lanes = {lane for lane, _ in incident.places_told}
        shards = {shard for _, shard in incident.places_told}
        joined = any(
            lane not in lanes or shard not in shards for lane, shard in incident.places
        )
        return joined or incident.dark_ns() >= incident.next_dark_ns

    def _close(self) -> list[Occasion]:
        """End the incident; also tell that it opened, if nobody was told yet."""
        incident = self._incident
        occasions: list[Occasion] = []
        if incident is not None:
            if not incident.told:
                occasions += self._open_up(incident)
            if incident.told:
                occasions.append(self._tell(OccasionKind.CLOSED))
        self._incident = None
        return occasions

    def _tell(self, kind: OccasionKind) -> Occasion:
        incident = self._incident
        assert incident is not None, "there is something to tell of"
        dark = incident.dark()
        incident.told += 1
        incident.told_ns = self._until_ns
        incident.next_dark_ns = max(2 * dark.estimate_ns, self._rules.worse_dark_ns)
        joined = set(incident.places) - incident.places_told
        incident.places_told |= joined
        return Occasion(
            kind=kind,
            incident=incident.name,
            number=incident.told,
            at_ns=self._until_ns,
            start_ns=incident.start_ns,
            end_ns=incident.end_ns if kind is OccasionKind.CLOSED else None,
            dark=dark,
            places=tuple(sorted(incident.places)),
            joined=tuple(sorted(joined)),
            dark_now=tuple(sorted(incident.dark_now)),
            outages=(*incident.ended, *incident.going_on),
            outage_count=incident.count(),
            is_planned=self._rules.is_planned,
            is_resumed=incident.is_resumed,
        )
