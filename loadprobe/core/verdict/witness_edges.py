"""Cutting outages of client lanes where the witness came back, or had not yet gone.

Pure. A client that is dark for five seconds because a shard was dark for two has seen
two things: an outage of the shard, and three seconds that it added itself. Nothing is
put down to a client for which the witness was blind.
"""

from collections.abc import Iterable, Mapping, Sequence

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval, intersection, union
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import LaneFacts, within, witnesses_of
from loadprobe.core.verdict.plan_edges import cut_at

ADDED_NS = 250 * NS_PER_MS
"""So much may be on the other side of the witness's edge without being cut off: clients
notice later than the witness, and their arrivals have a deadline to wait for."""


def cut_at_witness(
    outages: Iterable[Outage], lanes: Iterable[LaneFacts], beside: Iterable[Outage]
) -> list[Outage]:
    """Return the outages, those of client lanes cut at the edges of the witness's.

    Where there are several witnesses, the time counts in which all of them were dark.

    Args:
        outages: any.
        lanes: the lanes.
        beside: all of a run that witnesses saw, or more.
    """
    known = {lane.name: lane for lane in lanes}
    dark: dict[tuple[str, str], list[Interval]] = {}
    for outage in beside:
        lane, shard, _ = outage.scope
        if known[lane].is_witness:
            dark.setdefault((lane, shard), []).append(outage.possible)
    joined = {place: union(spans) for place, spans in dark.items()}
    return [part for outage in outages for part in _parts(outage, known, joined)]


def _parts(
    outage: Outage,
    lanes: Mapping[str, LaneFacts],
    dark: Mapping[tuple[str, str], Sequence[Interval]],
) -> list[Outage]:
    name, shard, _ = outage.scope
    lane = lanes[name]
    if lane.is_witness:
        return [outage]
    spans = [(outage.start_ns, outage.end_ns)]
    for witness in witnesses_of(lane, shard, lanes.values()):
        seen = dark.get((witness.name, shard), ())
        spans = intersection([spans, within(seen, outage.start_ns, outage.end_ns)])
    return cut_at(outage, spans, edge_ns=ADDED_NS)
