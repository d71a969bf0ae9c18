"""From the lines of a run whose process is gone to what its next process goes on with.

Pure. An outage that was going on when the process was killed, or when the load ended in
order, goes on: whether it was over meanwhile is told by what comes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from loadprobe.core.judging.before import Before, shifted_outage
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.counts import ScopeTotals
from loadprobe.core.judging.outages import KEPT_OUTAGES, Outage
from loadprobe.core.verdict.incident_so_far import SLOW_NS
from loadprobe.outputs.folder.sealed_replay import SealedReplay

_SELDOM = 10
"""Nobody is said to look any more after so many times what is usual."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """What there is to go on with.

    Args:
        before: what was judged.
        reopened: outages that were closed because the load ended, then or before; they
            are in ``before``, mostly as going on.
        dark_ns: by scope, how long outages were, with those; and not seen of them.
    """

    before: Before
    reopened: Mapping[Scope, Outage]
    dark_ns: Mapping[Scope, tuple[int, int]]

    def shifted(self, shift_ns: int) -> "Resumption":
        """Return the same in another clock."""
        reopened = {s: shifted_outage(o, shift_ns) for s, o in self.reopened.items()}
        return Resumption(self.before.shifted(shift_ns), reopened, self.dark_ns)


def resumption_of(replay: SealedReplay) -> Resumption:
    """Return what there is to go on with; of no more use is the replay after it."""
    totals = replay.scope_totals
    closed, dropped = list(replay.closed), replay.dropped
    going_on: dict[Scope, Outage] = {}
    for scope, outage in sorted(replay.unfinished.items()):
        if outage.open_end:
            going_on[scope] = outage
            continue
        # It only waited for its error bars.
        totals[scope].add_outage(outage)
        if len(closed) < KEPT_OUTAGES:
            closed.append(outage)
        else:
            dropped += 1
    dark_ns = {
        scope: (row.outage_ns, row.outage_unseen_ns) for scope, row in totals.items()
    }
    reopened = dict(replay.reopened)
    if replay.end_ns is not None:
        reopened = _reopen(closed, replay, replay.end_ns)
        going_on |= reopened
        dropped -= sum(reopened.get(o.scope) is o for o in replay.cut)
    before = Before(
        until_ns=replay.until_ns,
        lane_totals=replay.lane_totals,
        scope_totals=totals,
        outages=closed,
        dropped_outages=dropped,
        going_on=going_on,
        served_ns={
            scope: _served_ns(replay.served_ns[scope], row, replay.until_ns)
            for scope, row in totals.items()
            if scope in replay.served_ns
        },
        lanes=replay.beginning.lanes,
    )
    return Resumption(before, reopened, dark_ns)


def _served_ns(known_ns: int, totals: ScopeTotals, until_ns: int) -> int:
    """Return when a scope was served last: the end of an outage is a better mark."""
    latest = totals.last_outage
    if latest is None or latest.open_end:
        return known_ns
    return max(known_ns, latest.last_due_ns + 1, min(latest.hull_end_ns, until_ns))


def _reopen(
    closed: list[Outage], replay: SealedReplay, end_ns: int
) -> dict[Scope, Outage]:
    """Take the outages out that only the end of the load has closed; return them.

    They end then, or with a failure that was on its way; on a slow lane earlier, if
    nobody had looked again for longer than it is believed that an outage goes on.
    """
    totals = replay.scope_totals
    reopened: dict[Scope, Outage] = {}
    for outage in (*closed, *replay.cut):
        scope = outage.scope
        begin_ns = replay.lane_totals[scope.lane].begin_ns or 0
        usual_ns = (end_ns - begin_ns) // max(1, totals[scope].arrivals)
        since_ns = end_ns - min(_SELDOM * usual_ns, SLOW_NS)
        is_lit = replay.served_ns.get(scope, 0) > outage.last_due_ns
        if outage.open_end and outage.hull_end_ns >= since_ns and not is_lit:
            reopened[scope] = outage
    closed[:] = [o for o in closed if reopened.get(o.scope) is not o]
    latest = {outage.scope: outage for outage in closed}
    for scope, outage in reopened.items():
        row = totals[scope]
        row.outages -= 1
        row.outage_ns -= outage.seen_ns
        row.outage_unseen_ns -= outage.unseen_ns
        row.last_outage = latest.get(scope)
    return reopened
