"""How far the nodes are: the floor of every latency, and part of every error bar. Pure.

The least of some round trips is the way there and back with nothing else in between.
An outage is bounded by arrivals that were served and arrivals that were not, and when a
reply is read it is not known at which time of its way the node was reached.
"""

from collections.abc import Sequence
from statistics import median

from loadprobe.clock import NS_PER_MS
from loadprobe.run.checks import Check
from loadprobe.run.examining.visits import Visit

_FAR_MS = 5.0
_UNSTEADY = 10.0


def measure_distance(name: str, visits: Sequence[Visit]) -> Check | None:
    """Tell the least and the usual round trip, and who is far; None if nobody answered.

    Args:
        name: of the check.
        visits: of the nodes.
    """
    floors = {
        visit.address: min(visit.round_trips_ns) / NS_PER_MS
        for visit in visits
        if visit.round_trips_ns
    }
    if not floors:
        return None
    usual = median(ns / NS_PER_MS for visit in visits for ns in visit.round_trips_ns)
    near, far = min(floors.values()), max(floors.values())
    detail = (
        f"a round trip takes {near:.2f} ms at least (nearest node; farthest "
        f"{far:.2f} ms), {usual:.2f} ms usually: no latency and no error bar is "
        "smaller than that"
    )
    if far > _FAR_MS:
        (host, port) = max(floors, key=lambda address: floors[address])
        detail += (
            f"; {host}:{port} is {far:.1f} ms away: run the probe in the same "
            "availability zone for bounds of a millisecond"
        )
        return Check(name, passed=False, detail=detail, is_needed=False)
    if usual > max(1.0, _UNSTEADY * near):
        detail += (
            "; that is unsteady: this machine, the network or the nodes are busy with "
            "something else"
        )
        return Check(name, passed=False, detail=detail, is_needed=False)
    return Check(name, passed=True, detail=detail)
