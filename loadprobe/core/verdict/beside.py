"""What went on beside an outage: which lanes looked, and were dark or served then.

Pure. What the probe did not see of an outage, and what another lane did not look at, is
in no share.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from loadprobe.core.intervals import Interval, difference, length, union
from loadprobe.core.judging.cells import BlindSpan
from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import OpKind

MOST = 0.5
"""Two things happen together if they share at least this part of the outage."""


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """What attribution needs to know about a lane.

    Args:
        name: its label.
        tls: whether it connects by TLS.
        is_witness: whether its driver is the wire driver.
        shards: names of the shards it probed.
        begin_ns: when its observation began.
        end_ns: when its observation ended.
        blind: when it was blind.
        read_from: which nodes its reads go to.
    """

    name: str
    tls: bool
    is_witness: bool
    shards: tuple[str, ...]
    begin_ns: int
    end_ns: int
    blind: Sequence[BlindSpan] = ()
    read_from: str = "primary"


@dataclass(frozen=True, slots=True)
class Planned:
    """A lane was expected to be dark during [start_ns, end_ns).

    Args:
        lane: its name.
        start_ns: from when on, monotonic.
        end_ns: until when.
        shard: the shard that was expected to be dark; None is all of the lane's.
    """

    lane: str
    start_ns: int
    end_ns: int
    shard: str | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What went on beside an outage.

    Args:
        lanes: all lanes by name.
        dark: estimated dark times by (lane, shard), over all op kinds; disjoint.
        hulls: the same with the outages' upper bounds.
        planned: expected darkness.
        reads: (lane, shard) -> reads of it for each write, where there are both.
        read_hulls: (lane, shard) -> upper bounds of the dark times of reads alone;
            disjoint.
        served: returns how many arrivals of a scope, and of what goes where it goes,
            were served in the seconds of [start_ns, end_ns); None if not known.
    """

    lanes: Mapping[str, LaneFacts]
    dark: Mapping[tuple[str, str], Sequence[Interval]]
    hulls: Mapping[tuple[str, str], Sequence[Interval]]
    planned: Sequence[Planned] = ()
    served: "Served | None" = None
    reads: Mapping[tuple[str, str], float] = field(default_factory=dict)
    read_hulls: Mapping[tuple[str, str], Sequence[Interval]] = field(
        default_factory=dict
    )


Served = Callable[[Scope, int, int], int]


def make_context(
    lanes: Sequence[LaneFacts],
    outages: Sequence[Outage],
    planned: Sequence[Planned] = (),
    served: Served | None = None,
    *,
    reads: Mapping[tuple[str, str], float] | None = None,
) -> Context:
    """Return the context of a whole run; see ``Context``."""
    dark: dict[tuple[str, str], list[Interval]] = {}
    hulls: dict[tuple[str, str], list[Interval]] = {}
    of_reads: dict[tuple[str, str], list[Interval]] = {}
    for o in outages:
        place = (o.scope.lane, o.scope.shard)
        if o.scope.op is OpKind.READ:
            of_reads.setdefault(place, []).append(o.hull)
        dark.setdefault(place, []).append((o.start_ns, o.end_ns))
        hulls.setdefault(place, []).append(o.hull)
    return Context(
        lanes={lane.name: lane for lane in lanes},
        dark={place: union(spans) for place, spans in dark.items()},
        hulls={place: union(spans) for place, spans in hulls.items()},
        planned=tuple(planned),
        served=served,
        reads=reads or {},
        read_hulls={place: union(spans) for place, spans in of_reads.items()},
    )


def witnesses_of(
    lane: LaneFacts, shard: str, lanes: Iterable[LaneFacts]
) -> list[LaneFacts]:
    """Return the witnesses of a client lane on a shard: of its transport, or else all.

    A client over TLS is not to blame for what became of TLS.
    """
    found = [
        other
        for other in lanes
        if other.is_witness and shard in other.shards and other.name != lane.name
    ]
    return [other for other in found if other.tls == lane.tls] or found


def is_planned(outage: Outage, planned: Iterable[Planned]) -> bool:
    """Tell whether an outage was expected: for most of it, its scope was to be dark."""
    return planned_share(outage, planned) >= MOST


def planned_share(outage: Outage, planned: Iterable[Planned]) -> float:
    """Return for which part of what was seen of an outage it was to be dark, 0..1."""
    return _share(outage, planned_spans(outage, planned))


def planned_spans(outage: Outage, planned: Iterable[Planned]) -> list[Interval]:
    """Return when, within an outage, its scope was to be dark."""
    spans = union((p.start_ns, p.end_ns) for p in expected(outage, planned))
    return within(spans, outage.start_ns, max(outage.end_ns, outage.start_ns + 1))


def planned_places(
    planned: Sequence[Planned], places: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], list[Interval]]:
    """Return when shards of lanes were to be dark, of those for which it was planned.

    Args:
        planned: expected darkness.
        places: lanes and shards, as often as they come.
    """
    spans: dict[tuple[str, str], list[Interval]] = {}
    for lane, shard in dict.fromkeys(places) if planned else ():
        found = union(
            (p.start_ns, p.end_ns)
            for p in planned
            if p.lane == lane and p.shard in (None, shard)
        )
        if found:
            spans[lane, shard] = found
    return spans


def expected(outage: Outage, planned: Iterable[Planned]) -> list[Planned]:
    """Return those that are about the scope of an outage."""
    lane, shard, _ = outage.scope
    return [p for p in planned if p.lane == lane and p.shard in (None, shard)]


def within(spans: Sequence[Interval], start_ns: int, end_ns: int) -> list[Interval]:
    """Return the parts of disjoint sorted spans that lie in [start_ns, end_ns)."""
    first = max(0, bisect_left(spans, (start_ns,)) - 1)
    last = bisect_left(spans, (end_ns,))
    parts = ((max(s, start_ns), min(e, end_ns)) for s, e in spans[first:last])
    return [(s, e) for s, e in parts if s < e]


def _seen(outage: Outage, blind: Iterable[BlindSpan] = ()) -> list[Interval]:
    """Return when an outage was seen, and by a lane with such blind times, too.

    Of one that nobody saw it is the whole: there is nothing better.
    """
    whole = [(outage.start_ns, max(outage.end_ns, outage.start_ns + 1))]
    seen = difference(whole, outage.unseen) if outage.unseen else whole
    spans = [
        (span.start_ns, span.end_ns)
        for span in blind
        if span.start_ns < whole[0][1] and whole[0][0] < span.end_ns
    ]
    return (difference(seen, spans) if spans else seen) or whole


def _share(
    outage: Outage, spans: Sequence[Interval], blind: Iterable[BlindSpan] = ()
) -> float:
    """Return which part of the outage lies in the given disjoint spans, 0..1.

    What was not seen of it, and the given blind times, are in neither.
    """
    seen = _seen(outage, blind)
    inside = sum(length(within(spans, start, end)) for start, end in seen)
    return inside / length(seen)


def is_dark(outage: Outage, lane: str, shard: str, context: Context) -> bool:
    """Tell whether a shard of a lane was dark for most of an outage."""
    dark = context.dark.get((lane, shard), ())
    return _share(outage, dark, context.lanes[lane].blind) >= MOST


def dark_share(outage: Outage, lane: str, context: Context) -> float:
    """Return for which part of an outage a lane was dark on the same shard."""
    dark = context.dark.get((lane, outage.scope.shard), ())
    return _share(outage, dark, context.lanes[lane].blind)


def is_lit(outage: Outage, lane: LaneFacts, shard: str, context: Context) -> bool:
    """Tell whether a lane looked at the shard and had no outage then.

    It need not have looked at what nobody saw of the outage, but at most of the rest.
    """
    start, end = outage.start_ns, max(outage.end_ns, outage.start_ns + 1)
    if shard not in lane.shards or start < lane.begin_ns or end > lane.end_ns:
        return False
    parts = looked(outage, lane)
    hulls = context.hulls.get((lane.name, shard), ())
    return bool(parts) and not any(within(hulls, *part) for part in parts)


def looked(outage: Outage, lane: LaneFacts) -> list[Interval]:
    """Return when a lane looked while an outage was seen; nothing if not for most."""
    seen = _seen(outage)
    found = difference(seen, [(span.start_ns, span.end_ns) for span in lane.blind])
    return found if length(found) >= MOST * length(seen) else []
