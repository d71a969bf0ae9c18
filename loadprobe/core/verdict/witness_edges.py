"""Cutting outages of client lanes where the witness came back, or had not yet gone.

Pure. A client that is dark for five seconds because a shard was dark for two has seen
two things: an outage of the shard, and three seconds that it added itself. Nothing is
put down to a client for which the witness was blind.
"""

from collections.abc import Iterable, Mapping, Sequence

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import Interval, intersection, union
from loadprobe.core.judging.outages import Outage
from loadprobe.core.verdict.beside import LaneFacts, witnesses_of
from loadprobe.core.verdict.plan_edges import cut_at

ADDED_NS = 250 * NS_PER_MS
"""So much may be on the other side of the witness's edge without being cut off: clients
notice later than the witness, and their arrivals have a deadline to wait for."""


def cut_at_witness(
    outages: Sequence[Outage], lanes: Iterable[LaneFacts]
) -> list[Outage]:
    """Return the outages, those of client lanes cut at the edges of the witness's.

    Where there are several witnesses, the time counts in which all of them were dark.
    """
    known = {lane.name: lane for lane in lanes}
    dark: dict[tuple[str, str], list[Interval]] = {}
    for outage in outages:
        lane, shard, _ = outage.scope
        if known[lane].is_witness:
            dark.setdefault((lane, shard), []).append(outage.possible)
    return [part for outage in outages for part in _parts(outage, known, dark)]


def _parts(
    outage: Outage,
    lanes: Mapping[str, LaneFacts],
    dark: Mapping[tuple[str, str], Sequence[Interval]],
) -> list[Outage]:
    name, shard, _ = outage.scope
    lane = lanes[name]
    if lane.is_witness:
        return [outage]
    watching = witnesses_of(lane, shard, lanes.values())
    own = [(outage.start_ns, outage.end_ns)]
    seen = [union(dark.get((witness.name, shard), ())) for witness in watching]
    spans = intersection([own, *seen]) if seen else own
    return cut_at(outage, spans, edge_ns=ADDED_NS)
