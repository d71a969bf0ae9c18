"""Whose fault an outage was: a closed table of causes, and what each is told from.

Pure. The lanes of the wire driver are the witness: it hides nothing and retries
nothing, so what it sees is the cluster's doing and what only others see is theirs.

``RULES`` is the table. Its rows are tried in order, and the first that finds evidence
decides; the last one always does. Blind time is the probe's, and no outage at all:
that is a cause of incidents only.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.cells import BlindSpan
from loadprobe.core.columns import Scope
from loadprobe.core.intervals import Interval, difference, length, union
from loadprobe.core.outages import Outage
from loadprobe.core.outcome import ErrorClass, OpKind

MOST = 0.5
"""Two things happen together if they share at least this part of the outage."""


class Cause(StrEnum):
    """What an outage, or an incident, is attributed to."""

    CLUSTER = "cluster"
    SHARD = "shard"
    ACCESS = "access"
    PATH = "path"
    TRANSPORT = "transport"
    CLIENT = "client"
    PLANNED = "planned"
    PROBE = "probe"


@dataclass(frozen=True, slots=True)
class Attribution:
    """A cause, and what it was told from in a few words."""

    cause: Cause
    evidence: str


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
        served: returns how many arrivals of a scope, and of what goes where it goes,
            were served in the seconds of [start_ns, end_ns); None if not known.
    """

    lanes: Mapping[str, LaneFacts]
    dark: Mapping[tuple[str, str], Sequence[Interval]]
    hulls: Mapping[tuple[str, str], Sequence[Interval]]
    planned: Sequence[Planned] = ()
    served: "Served | None" = None


Served = Callable[[Scope, int, int], int]


def make_context(
    lanes: Sequence[LaneFacts],
    outages: Sequence[Outage],
    planned: Sequence[Planned] = (),
    served: Served | None = None,
) -> Context:
    """Return the context of a whole run."""
    dark: dict[tuple[str, str], list[Interval]] = {}
    hulls: dict[tuple[str, str], list[Interval]] = {}
    for o in outages:
        place = (o.scope.lane, o.scope.shard)
        dark.setdefault(place, []).append((o.start_ns, o.end_ns))
        hulls.setdefault(place, []).append(o.hull)
    return Context(
        lanes={lane.name: lane for lane in lanes},
        dark={place: union(spans) for place, spans in dark.items()},
        hulls={place: union(spans) for place, spans in hulls.items()},
        planned=tuple(planned),
        served=served,
    )


def attribute(outage: Outage, context: Context) -> Attribution:
    """Return the cause of an outage; the first row of ``RULES`` that holds decides."""
    for rule in RULES:
        found = rule(outage, context)
        if found is not None:
            return found
    raise AssertionError("the last rule always holds")


def _planned(outage: Outage, context: Context) -> Attribution | None:
    """Planned: the lane, or the shard on it, was expected to be dark then."""
    expected = _expected(outage, context.planned)
    if not is_planned(outage, expected):
        return None
    where = f"lane {outage.scope.lane}"
    if all(planned.shard is not None for planned in expected):
        where = f"shard {outage.scope.shard} on {where}"
    return Attribution(Cause.PLANNED, f"{where} was expected to be dark")


def _access(outage: Outage, _: Context) -> Attribution | None:
    """Access: the target refused the login, or what the user may do.

    Whatever else was served: other connections may be logged in from before.
    """
    return _mostly(
        outage,
        ErrorClass.AUTH,
        Cause.ACCESS,
        "arrivals were refused for login or permission (NOAUTH, WRONGPASS, NOPERM)",
    )


def _path(outage: Outage, _: Context) -> Attribution | None:
    """Path: the name of the target led nowhere, whatever the target did."""
    return _mostly(
        outage,
        ErrorClass.DNS,
        Cause.PATH,
        "arrivals had no connection because DNS did not resolve the name",
    )


def _mostly(
    outage: Outage, error: ErrorClass, cause: Cause, what: str
) -> Attribution | None:
    """Return a cause told from what at least half of the arrivals failed with."""
    count = outage.classes.get(error, 0)
    if not count or count < MOST * outage.failed:
        return None
    return Attribution(cause, f"{count:,} of {outage.failed:,} {what}")


def _client(outage: Outage, context: Context) -> Attribution | None:
    """Client: the lane is no witness, and one was served for most of the time."""
    lane, shard = context.lanes[outage.scope.lane], outage.scope.shard
    if lane.is_witness:
        return None
    for witness in _watching(outage, context):
        if _is_lit(outage, witness, shard, context):
            return Attribution(
                Cause.CLIENT,
                f"witness lane {witness.name} was served on shard {shard}"
                + _arrivals(outage, witness.name, [shard], context),
            )
    judge = _judge(outage, context)
    if judge is lane or _dark_share(outage, judge.name, context) >= MOST:
        return None
    return Attribution(
        Cause.CLIENT,
        f"witness lane {judge.name} was served on shard {shard} for most "
        "of the time" + _arrivals(outage, judge.name, [shard], context),
    )


def _transport(outage: Outage, context: Context) -> Attribution | None:
    """Transport: a witness of the other one was served there all through.

    Also if all shards of the lane were dark: one transport was, not the cluster. Reads
    that go to other nodes say nothing of a transport.
    """
    lane, shard = context.lanes[outage.scope.lane], outage.scope.shard
    is_replicas = outage.scope.op is OpKind.REPLICA_READ
    for other in context.lanes.values():
        if not other.is_witness or other.tls == lane.tls:
            continue
        if is_replicas and other.read_from != lane.read_from:
            continue
        if _is_lit(outage, other, shard, context):
            return Attribution(
                Cause.TRANSPORT,
                f"lane {other.name} ({'TLS' if other.tls else 'TCP'}) was served "
                f"on shard {shard}" + _arrivals(outage, other.name, [shard], context),
            )
    return None


def _cluster(outage: Outage, context: Context) -> Attribution | None:
    """Cluster: all shards (two or more) were dark on the lane that judges."""
    judge = _judge(outage, context)
    others = [name for name in judge.shards if name != outage.scope.shard]
    if not others or _served_shards(outage, judge, context):
        return None
    return Attribution(
        Cause.CLUSTER, f"all {len(judge.shards)} shards were dark on lane {judge.name}"
    )


def _shard(outage: Outage, context: Context) -> Attribution:
    """Shard: the rest. Others were served, or there are none."""
    judge, shard = _judge(outage, context), outage.scope.shard
    served = _served_shards(outage, judge, context)
    if not served:
        return Attribution(Cause.SHARD, f"shard {shard} is the only shard")
    which = (
        f"shards {', '.join(served)} were" if served[1:] else f"shard {served[0]} was"
    )
    return Attribution(
        Cause.SHARD,
        f"{which} served on lane {judge.name}"
        + _arrivals(outage, judge.name, served, context),
    )


Rule = Callable[[Outage, Context], Attribution | None]

RULES: tuple[Rule, ...] = (
    _planned,
    _access,
    _path,
    _client,
    _transport,
    _cluster,
    _shard,
)
"""The table, in the order in which its rows are tried."""


def _judge(outage: Outage, context: Context) -> LaneFacts:
    """Return the lane whose view of the shards counts.

    That of a witness is its own, that of a client the witness's that was dark least.
    """
    lane = context.lanes[outage.scope.lane]
    if lane.is_witness:
        return lane
    return min(
        _watching(outage, context),
        key=lambda w: _dark_share(outage, w.name, context),
        default=lane,
    )


def _watching(outage: Outage, context: Context) -> list[LaneFacts]:
    """Return the witnesses of a client lane that looked while it was dark.

    One that was blind for most of that blames nobody.
    """
    lane = context.lanes[outage.scope.lane]
    found = witnesses_of(lane, outage.scope.shard, context.lanes.values())
    return [witness for witness in found if _looked(outage, witness)]


def _served_shards(outage: Outage, judge: LaneFacts, context: Context) -> list[str]:
    """Return the other shards of a lane that were not dark for most of an outage."""
    return [
        name
        for name in judge.shards
        if name != outage.scope.shard
        and not _is_dark(outage, judge.name, name, context)
    ]


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
    spans = union((p.start_ns, p.end_ns) for p in _expected(outage, planned))
    return _within(spans, outage.start_ns, max(outage.end_ns, outage.start_ns + 1))


def _expected(outage: Outage, planned: Iterable[Planned]) -> list[Planned]:
    """Return those that are about the scope of an outage."""
    lane, shard, _ = outage.scope
    return [p for p in planned if p.lane == lane and p.shard in (None, shard)]


def _within(spans: Sequence[Interval], start_ns: int, end_ns: int) -> list[Interval]:
    """Return the parts of disjoint sorted spans that lie in [start_ns, end_ns)."""
    first = max(0, bisect_left(spans, (start_ns,)) - 1)
    last = bisect_left(spans, (end_ns,))
    parts = ((max(s, start_ns), min(e, end_ns)) for s, e in spans[first:last])
    return [(s, e) for s, e in parts if s < e]


def _arrivals(
    outage: Outage, lane: str, shards: Sequence[str], context: Context
) -> str:
    """Say how much of a lane was served meanwhile; nothing if that is not known."""
    if context.served is None:
        return ""
    count = sum(
        context.served(
            Scope(lane, shard, outage.scope.op), outage.start_ns, outage.end_ns
        )
        for shard in shards
    )
    return f", {count:,} arrivals in these seconds"


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
    inside = sum(length(_within(spans, start, end)) for start, end in seen)
    return inside / length(seen)


def _is_dark(outage: Outage, lane: str, shard: str, context: Context) -> bool:
    dark = context.dark.get((lane, shard), ())
    return _share(outage, dark, context.lanes[lane].blind) >= MOST


def _dark_share(outage: Outage, lane: str, context: Context) -> float:
    """Return for which part of an outage a lane was dark on the same shard."""
    dark = context.dark.get((lane, outage.scope.shard), ())
    return _share(outage, dark, context.lanes[lane].blind)


def _is_lit(outage: Outage, lane: LaneFacts, shard: str, context: Context) -> bool:
    """Tell whether a lane looked at the shard and had no outage then.

    It need not have looked at what nobody saw of the outage, but at most of the rest.
    """
    start, end = outage.start_ns, max(outage.end_ns, outage.start_ns + 1)
    if shard not in lane.shards or start < lane.begin_ns or end > lane.end_ns:
        return False
    looked = _looked(outage, lane)
    hulls = context.hulls.get((lane.name, shard), ())
    return bool(looked) and not any(_within(hulls, *part) for part in looked)


def _looked(outage: Outage, lane: LaneFacts) -> list[Interval]:
    """Return when a lane looked while an outage was seen; nothing if not for most."""
    seen = _seen(outage)
    looked = difference(seen, [(span.start_ns, span.end_ns) for span in lane.blind])
    return looked if length(looked) >= MOST * length(seen) else []
