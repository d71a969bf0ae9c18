"""When maintenance begins and is over, and what it cost: decided from what is seen.

Pure; monotonic ns. What is done by a scenario of this run is none. It begins with a
sign: an update under way, a status of the group, an event of the provider that says
that something was done, a primary or an endpoint that is another one. It is over when
nothing is under way any more, nothing is dark, and no sign came for the quiet time. If
the group is gone by then nothing of it is under way, and what is dark stays so.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS, NS_PER_S, ClockPair
from loadprobe.core.events import (
    EndpointMoved,
    Event,
    GroupStatusSeen,
    MaintenanceBegun,
    MaintenanceOver,
    ProviderTold,
    RoleChanged,
    ScenarioBegun,
    ScenarioEnded,
    ShardAdded,
    ShardRemoved,
    SlotsMoved,
    UpdateSeen,
)
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime, dark_time
from loadprobe.core.verdict.places import where_text
from loadprobe.core.verdict.texts import dark_text

KEPT_OUTAGES = 2_000
"""Of one maintenance with more of them the times are at least."""

GRACE_NS = 10 * NS_PER_S
"""An outage that ended so long before the first sign may belong to it."""

LONGEST_NS = 3600 * NS_PER_S
"""What was begun, and of which no end is told, is taken for over after this time."""

UNDER_WAY = frozenset({"waiting-to-start", "in-progress", "stopping"})
_UPDATE, _STATUS = "update", "status"
_ABSENT = "absent"
_AT_REST = frozenset({"", "available", "snapshotting", _ABSENT})
_BEGINS = {
    "test_failover_called": "failover",
    "recovery_started": "recovery",
    "node_shutdown": "shutdown",
    "migration_started": "migration",
}
_ENDS = {
    "failover_completed": "failover",
    "recovery_finished": "recovery",
    "node_restarted": "shutdown",
    "migration_completed": "migration",
}
_DONE = frozenset(
    {
        "failover_completed",
        "node_restarted",
        "patched",
        "modified",
        "tls_changed",
        "auth_changed",
        "replicas_changed",
        "resharded",
        "update_ended",
    }
)


@dataclass(slots=True)
class Maintenance:
    """One that is going on or over.

    Args:
        number: 1, 2, ... in this run.
        reason: what showed it first.
        start_ns: when it began, by its earliest sign.
        latest_ns: when the latest sign was seen.
        signs: how many there were.
    """

    number: int
    reason: str
    start_ns: int
    latest_ns: int
    signs: int = 1


@dataclass(slots=True)
class _Seen:
    """What is known of what is under way: key -> since when."""

    pending: dict[tuple[str, str], int] = field(default_factory=dict)
    updates: set[str] = field(default_factory=set)
    status: str = ""

    def take(self, event: Event) -> None:
        """Take what was seen."""
        match event:
            case ProviderTold():
                whose = event.node_group or event.source_identifier
                if event.meaning in _ENDS:
                    self.pending.pop((_ENDS[event.meaning], whose), None)
                if event.meaning in _BEGINS:
                    self.pending[_BEGINS[event.meaning], whose] = event.mono_ns
            case UpdateSeen():
                self.pending.pop((_UPDATE, event.name), None)
                self.updates.discard(event.name)
                if event.status in UNDER_WAY:
                    self.updates.add(event.name)
            case GroupStatusSeen():
                self.pending.pop((_STATUS, ""), None)
                self.status = event.status
                if self.is_gone:  # and whatever was done to it
                    self.pending.clear()
                    self.updates.clear()

    @property
    def is_gone(self) -> bool:
        """Tell whether there is no group any more."""
        return self.status == _ABSENT

    def doubt(self, at_ns: int) -> None:
        """Take status and updates for what was under way, until they are looked at."""
        if self.status not in _AT_REST:
            self.pending[_STATUS, ""] = at_ns
        self.pending |= {(_UPDATE, name): at_ns for name in self.updates}
        self.status, self.updates = "", set()

    def is_settled(self, now_ns: int) -> bool:
        self.pending = {
            key: at for key, at in self.pending.items() if now_ns - at < LONGEST_NS
        }
        return not self.pending and not self.updates and self.status in _AT_REST


class MaintenanceTracker:
    """Finds maintenance (see the module).

    Args:
        clock: to show monotonic times as UNIX times, and the provider's as monotonic;
            read when this process began.
        quiet_ns: how long no sign may come before it is over.
        lanes: names of all lanes.
        emit: is told of its begin and its end.

    Attributes:
        current: what is going on, None if nothing is.
        past: the latest ones that are over.
    """

    def __init__(
        self,
        clock: ClockPair,
        *,
        quiet_ns: int,
        lanes: Collection[str],
        emit: Callable[[Event], None],
    ) -> None:
        self._clock = clock
        self._quiet_ns = quiet_ns
        self._lanes = tuple(lanes)
        self._emit = emit
        self._seen = _Seen()
        self._outages: deque[Outage] = deque(maxlen=KEPT_OUTAGES)
        self._left_out = 0
        self._own_until_ns: int | None = None
        self._is_own = False
        self._over_ns = 0
        self._looked_since_ns = 0
        self._count = 0
        self.current: Maintenance | None = None
        self.past: deque[MaintenanceOver] = deque(maxlen=100)

    def go_on(self, events: Iterable[Event], outages: Iterable[Outage]) -> None:
        """Go on after another process: numbers, and a maintenance that was not over.

        Nobody looked in between, so it is over when no sign came for the quiet time
        from now on.

        Args:
            events: of that process, in their order.
            outages: that it saw, of the load, without those by plan.
        """
        for event in events:
            match event:
                case MaintenanceBegun():
                    self._count = max(self._count, event.number)
                    start_ns = self._clock.to_mono(event.start_unix_ns)
                    self.current = Maintenance(
                        event.number, event.reason, start_ns, event.mono_ns
                    )
                case MaintenanceOver():
                    self.current = None
                    self.past.append(event)
                    self._over_ns = self._clock.to_mono(event.end_unix_ns)
                case _ if self.current is not None:
                    self.take_event(event)
                case _:
                    self._seen.take(event)
        self._looked_since_ns = self._clock.mono_ns
        self._seen.doubt(self._looked_since_ns)
        self._outages += outages

    # --- signs -----------------------------------------------------------------------

    def take_event(self, event: Event) -> None:
        """Take what was seen."""
        self._seen.take(event)
        match event:
            case ScenarioBegun():
                self._is_own = True
            case ScenarioEnded():
                self._is_own, self._own_until_ns = False, event.mono_ns
            case ProviderTold():
                self._take_told(event)
            case UpdateSeen():
                self._take_update(event)
            case GroupStatusSeen():
                is_busy = event.status not in _AT_REST
                if is_busy or self.current is not None:
                    self._sign(event.mono_ns, f"the group is {event.status}")
            case RoleChanged():
                self._sign(event.mono_ns, f"shard {event.shard} has another primary")
            case EndpointMoved():
                self._sign(event.mono_ns, f"{event.host} points elsewhere")
            case ShardAdded() | ShardRemoved() | SlotsMoved():
                if self.current is not None:
                    self._sign(event.mono_ns, "")

    def _take_told(self, event: ProviderTold) -> None:
        meaning = event.meaning
        if meaning in _BEGINS or meaning in _DONE or self.current is not None:
            start_ns = min(event.mono_ns, self._clock.to_mono(event.date_unix_ns))
            self._sign(event.mono_ns, event.message, start_ns=start_ns)

    def _take_update(self, event: UpdateSeen) -> None:
        is_under_way = event.status in UNDER_WAY
        if is_under_way or event.previous in UNDER_WAY:
            self._sign(event.mono_ns, f"service update {event.name} is {event.status}")

    def _sign(self, at_ns: int, reason: str, *, start_ns: int | None = None) -> None:
        start_ns = at_ns if start_ns is None else start_ns
        if self.current is not None:
            self.current.signs += 1
            self.current.latest_ns = max(self.current.latest_ns, at_ns)
            if not self._is_of_own(start_ns) and start_ns > self._over_ns:
                self.current.start_ns = min(self.current.start_ns, start_ns)
            return
        if self._is_of_own(start_ns) or start_ns <= self._over_ns:
            return  # a scenario's, or of what is over and was told late
        self._count += 1
        self.current = Maintenance(self._count, reason, start_ns, at_ns)
        start_unix_ns = self._clock.to_wall(start_ns)
        self._emit(MaintenanceBegun(at_ns, self._count, reason, start_unix_ns))

    def _is_of_own(self, at_ns: int) -> bool:
        """Tell whether a scenario of this run is at work, or was just before."""
        until_ns = self._own_until_ns
        return self._is_own or (
            until_ns is not None and at_ns - until_ns < self._quiet_ns
        )

    # --- outages ---------------------------------------------------------------------

    def take_outages(
        self, closed: Iterable[Outage], going_on: Sequence[Outage], *, until_ns: int
    ) -> list[Outage] | None:
        """Take outages that ended; return those of what is over now, else None.

        Args:
            closed: those of the load, without those by plan.
            going_on: those of the load that go on, without those by plan.
            until_ns: everything due before was judged.
        """
        for outage in closed:
            self._keep(outage)
        current = self.current
        is_gone = self._seen.is_gone
        if current is None or (going_on and not is_gone):
            return None
        if not self._seen.is_settled(until_ns):
            return None
        own = [o for o in self._outages if _is_of(o, current)]
        latest_ns = max([current.latest_ns, *(o.hull_end_ns for o in own)])
        if until_ns - max(latest_ns, self._looked_since_ns) < self._quiet_ns:
            return None
        own += going_on
        latest_ns = max([latest_ns, *(o.end_ns for o in going_on)])
        self._over_ns, self.current = latest_ns, None
        over = self._over(current, own, latest_ns, until_ns, is_dark=bool(going_on))
        self._left_out = 0
        self.past.append(over)
        self._emit(over)
        return own

    def _keep(self, outage: Outage) -> None:
        """Keep an outage; it takes the room of the oldest, which is counted."""
        kept, current = self._outages, self.current
        if len(kept) == KEPT_OUTAGES and current is not None:
            self._left_out += _is_of(kept[0], current)
        kept.append(outage)

    def _over(
        self,
        it: Maintenance,
        own: list[Outage],
        end_ns: int,
        at_ns: int,
        *,
        is_dark: bool,
    ) -> MaintenanceOver:
        dark = dark_time(own)
        cost = self._cost(own, dark)
        if is_dark:
            cost += "; still dark, for the group is gone"
        return MaintenanceOver(
            at_ns,
            number=it.number,
            reason=it.reason,
            start_unix_ns=self._clock.to_wall(it.start_ns),
            end_unix_ns=self._clock.to_wall(end_ns),
            signs=it.signs,
            outages=len(own) + self._left_out,
            dark_ms=dark.estimate_ns / NS_PER_MS,
            lower_ms=dark.lower_ns / NS_PER_MS,
            upper_ms=dark.upper_ns / NS_PER_MS,
            verdict=f"maintenance {it.number} ({it.reason}): {cost}",
        )

    def _cost(self, own: list[Outage], dark: DarkTime) -> str:
        if not own:
            return "nobody noticed"
        places = list(dict.fromkeys((o.scope.lane, o.scope.shard) for o in own))
        where = where_text(places, lanes=self._lanes, shards=())
        text = f"dark for {dark_text(dark)}: {where}"
        if not self._left_out:
            return text
        return (
            f"{text}; at least: {len(own) + self._left_out:,} outages, the times are "
            f"of the last {len(own):,}"
        )


def _is_of(outage: Outage, it: Maintenance) -> bool:
    """Tell whether an outage belongs to a maintenance that has not ended before it."""
    return outage.hull_end_ns >= it.start_ns - GRACE_NS
