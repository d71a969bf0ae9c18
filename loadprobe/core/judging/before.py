"""What was judged before an aggregate goes on with it, after its process was gone.

Pure. Between what was judged last and the first arrival that is due again nobody
looked: that time is blind for every lane. So of the arrivals before it nothing is
needed but what they proved: an outage that was going on keeps its bounds and its
beginning, and one that begins behind the blind time reaches back to when its scope was
served last.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadprobe.clock import NS_PER_MS
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.lanes import LaneInfo, LaneTotals
from loadprobe.core.judging.outages import Outage, Row
from loadprobe.core.judging.outcome import OpKind


@dataclass(slots=True)
class Before:
    """Everything that is known (see the module); times in the clock that goes on.

    Args:
        until_ns: everything due before has been judged.
        lane_totals: totals by lane name.
        scope_totals: totals by scope; outages that are going on are not in them.
        outages: closed outages by time.
        dropped_outages: outages counted in the totals but not kept.
        going_on: outages that have not ended, as far as is known.
        served_ns: when scopes were served last, or a time shortly before that.
        lanes: the lanes that there were.
    """

    until_ns: int
    lane_totals: Mapping[str, LaneTotals]
    scope_totals: Mapping[Scope, ScopeTotals]
    outages: Sequence[Outage] = ()
    dropped_outages: int = 0
    going_on: Mapping[Scope, Outage] = field(default_factory=dict)
    served_ns: Mapping[Scope, int] = field(default_factory=dict)
    lanes: Sequence[LaneInfo] = ()

    def shifted(self, shift_ns: int) -> "Before":
        """Return the same in another clock."""
        return Before(
            self.until_ns + shift_ns,
            {
                name: _shifted_lane(totals, shift_ns)
                for name, totals in self.lane_totals.items()
            },
            {
                scope: replace(
                    totals,
                    last_outage=totals.last_outage
                    and shifted_outage(totals.last_outage, shift_ns),
                )
                for scope, totals in self.scope_totals.items()
            },
            [shifted_outage(outage, shift_ns) for outage in self.outages],
            self.dropped_outages,
            {s: shifted_outage(o, shift_ns) for s, o in self.going_on.items()},
            {scope: at_ns + shift_ns for scope, at_ns in self.served_ns.items()},
            self.lanes,
        )

    def last_served(self, scope: Scope) -> Row | None:
        """Return an arrival that stands for the last one that was served, if any was.

        It was due when the scope was served last, or shortly before, and took as long
        as most do.
        """
        due_ns = self.served_ns.get(scope)
        if due_ns is None:
            return None
        return due_ns, due_ns, due_ns + self.usual_ns(scope.lane, scope.op)

    def usual_ns(self, lane: str, op: OpKind) -> int:
        """Return how long most arrivals of a lane took from when they were sent.

        A millisecond if nothing is known of it, in the first second of a run.
        """
        service = self.lane_totals[lane].service.get(op)
        median_ns = service.quantile(0.5) if service is not None else None
        return int(median_ns or NS_PER_MS)


def _shifted_lane(totals: LaneTotals, shift_ns: int) -> LaneTotals:
    return replace(
        totals,
        begin_ns=None if totals.begin_ns is None else totals.begin_ns + shift_ns,
        blind=[
            BlindSpan(span.lane, span.start_ns + shift_ns, span.end_ns + shift_ns)
            for span in totals.blind
        ],
    )


def shifted_outage(outage: Outage, shift_ns: int) -> Outage:
    """Return an outage in another clock."""

    def shift(spans: Sequence[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        return tuple((start + shift_ns, end + shift_ns) for start, end in spans)

    return replace(
        outage,
        hull_start_ns=outage.hull_start_ns + shift_ns,
        start_ns=outage.start_ns + shift_ns,
        core_start_ns=outage.core_start_ns + shift_ns,
        core_end_ns=outage.core_end_ns + shift_ns,
        end_ns=outage.end_ns + shift_ns,
        hull_end_ns=outage.hull_end_ns + shift_ns,
        first_due_ns=outage.first_due_ns + shift_ns,
        last_due_ns=outage.last_due_ns + shift_ns,
        gaps=shift(outage.gaps),
        unseen=shift(outage.unseen),
        lit_beside=shift(outage.lit_beside),
    )
