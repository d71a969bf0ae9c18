"""An incident that people are told of while it lasts: what is known of it so far.

Pure. ``incident_tracker`` knows what belongs to it, and what is told when.
"""

from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_S
from loadprobe.core.intervals import Interval, length, union
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.incidents import DarkTime, dark_time
from loadprobe.core.verdict.occasions import Place

KEPT_OUTAGES = 2_000
"""Outages of one incident that are kept; its times are theirs, the rest is counted."""

SLOW_NS = 60 * NS_PER_S
"""A slow lane may not have looked again for so long before the load ended."""

LONGEST_UNLIT_NS = 600 * NS_PER_S
"""What was dark before is waited for so long: its shard may be gone."""


@dataclass(slots=True)
class TrackedIncident:
    """An incident that is not over.

    ``latest_ns`` is where its last outage, or blind time right after it, ended;
    ``end_ns`` is about outages alone. ``before`` is from an earlier run. ``unlit`` are
    scopes that were dark when an earlier process ended, and that nobody has looked at
    since ``resumed_ns``, when this one began to (0: it has not).
    """

    start_ns: int
    latest_ns: int
    end_ns: int
    name: str = ""
    told: int = 0
    told_ns: int = 0
    worsenings: int = 0
    next_dark_ns: int = 0
    before: DarkTime = field(default_factory=DarkTime)
    outages_before: int = 0
    places: dict[Place, None] = field(default_factory=dict)
    places_told: set[Place] = field(default_factory=set)
    ended: list[Outage] = field(default_factory=list)
    not_kept: int = 0
    spans: list[Interval] = field(default_factory=list)
    going_on: list[Outage] = field(default_factory=list)
    dark_now: set[Place] = field(default_factory=set)
    unlit: set[Scope] = field(default_factory=set)
    resumed_ns: int = 0

    @property
    def is_resumed(self) -> bool:
        """Tell whether an earlier run told of it."""
        return self.outages_before > 0

    def meet(self, part: Outage) -> None:
        """Take note of an outage that has ended or goes on."""
        self.start_ns = min(self.start_ns, part.start_ns)
        self.latest_ns = max(self.latest_ns, part.hull_end_ns)
        self.end_ns = max(self.end_ns, part.end_ns)
        self.places[part.scope[:2]] = None

    def keep(self, part: Outage) -> None:
        """Take an outage that has ended."""
        if len(self.ended) == KEPT_OUTAGES:
            self.not_kept += 1
            return
        self.ended.append(part)
        self.spans = union([*self.spans, (part.start_ns, part.end_ns)])

    def left_open(self, until_ns: int) -> set[Scope]:
        """Return what has not been seen lit since it was dark.

        It went on when the load ended, or when the process before this one ended.

        Args:
            until_ns: everything due before has been judged.
        """
        since_ns = until_ns - SLOW_NS
        ended = {o.scope for o in self.ended if o.open_end and o.hull_end_ns > since_ns}
        return ended | self.unlit

    def is_waited_for(self, until_ns: int, *, is_last: bool) -> bool:
        """Tell whether something has yet to be seen lit.

        Args:
            until_ns: everything due before has been judged.
            is_last: the load has ended. Before that an outage whose end nobody saw is
                of what is gone.
        """
        if self.resumed_ns and until_ns - self.resumed_ns >= LONGEST_UNLIT_NS:
            self.unlit.clear()
        return bool(self.left_open(until_ns) if is_last else self.unlit)

    def dark_ns(self) -> int:
        """Return how long it was dark, roughly but quickly."""
        now = [(o.start_ns, o.end_ns) for o in self.going_on]
        return self.before.estimate_ns + length([*self.spans, *now])

    def dark(self) -> DarkTime:
        """Return how long it was dark, with error bars."""
        own, before = dark_time([*self.ended, *self.going_on]), self.before
        return DarkTime(
            own.lower_ns + before.lower_ns,
            own.estimate_ns + before.estimate_ns,
            own.upper_ns + before.upper_ns,
            own.unseen_ns + before.unseen_ns,
        )

    def count(self) -> int:
        """Return how many outages it had."""
        own = len(self.ended) + len(self.going_on) + self.not_kept
        return self.outages_before + own
