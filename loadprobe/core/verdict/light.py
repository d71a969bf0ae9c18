"""What others saw of a shard while a lane was blind in the midst of its outage.

Pure. A lane's own darkness is what it saw itself. The darkness of a shard is known from
all that looked: a witness of the same transport that was served there by the same kind
of operation proves that the shard was up, whatever another lane could not see. Within
one lane the arrivals of all processes are judged together, so a process that looked
needs no rule of its own.
"""

from collections.abc import Iterable
from dataclasses import replace

from loadprobe.core.intervals import Interval, difference, intersection, union
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import LaneFacts


def add_light(
    outages: Iterable[Outage], lanes: Iterable[LaneFacts], beside: Iterable[Outage]
) -> list[Outage]:
    """Return the outages with ``lit_beside`` where something of them was not seen.

    Args:
        outages: any.
        lanes: the lanes, with when they were blind.
        beside: all of a run that witnesses saw, or more.
    """
    witnesses = {lane.name: lane for lane in lanes if lane.is_witness}
    hulls: dict[Scope, list[Interval]] = {}
    for outage in beside:
        hulls.setdefault(outage.scope, []).append(outage.hull)
    return [
        replace(outage, lit_beside=_light(outage, witnesses.values(), hulls))
        if outage.unseen and outage.scope.lane in witnesses
        else outage
        for outage in outages
    ]


def _light(
    outage: Outage,
    witnesses: Iterable[LaneFacts],
    hulls: "dict[Scope, list[Interval]]",
) -> tuple[Interval, ...]:
    (own,) = (lane for lane in witnesses if lane.name == outage.scope.lane)
    doubtful = difference([outage.hull], outage.cores)
    lit: list[Interval] = []
    for lane in witnesses:
        scope = outage.scope._replace(lane=lane.name)
        if lane is own or lane.tls != own.tls or scope.shard not in lane.shards:
            continue
        blind = [(span.start_ns, span.end_ns) for span in lane.blind]
        looked = difference([(lane.begin_ns, lane.end_ns)], blind)
        lit += difference(looked, hulls.get(scope, ()))
    return tuple(intersection([doubtful, union(lit)]))
