"""Whose fault an outage was: a closed table of causes, and what each is told from.

Pure. The lanes of the wire driver are the witness: it hides nothing and retries
nothing, so what it sees is the cluster's doing and what only others see is theirs.

``RULES`` is the table. Its rows are tried in order, and the first that finds evidence
decides; the last one always does. Blind time is the probe's, and no outage at all:
that is a cause of incidents only.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, OpKind
from loadprobe.core.verdict.beside import (
    MOST,
    Context,
    LaneFacts,
    dark_share,
    expected,
    is_dark,
    is_lit,
    is_planned,
    looked,
    within,
    witnesses_of,
)

_REFUSED = (
    ErrorClass.CLUSTERDOWN,
    ErrorClass.READONLY,
    ErrorClass.MISCONF,
    ErrorClass.OOM,
    ErrorClass.OTHER,
)
"""What a server says that does not take writes; OTHER has NOREPLICAS."""

_READS_DUE = 5
"""So many reads must have been due: fewer prove nothing."""


class Cause(StrEnum):
    """What an outage, or an incident, is attributed to."""

    CLUSTER = "cluster"
    SHARD = "shard"
    WRITES = "writes"
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


def attribute(outage: Outage, context: Context) -> Attribution:
    """Return the cause of an outage; the first row of ``RULES`` that holds decides."""
    for rule in RULES:
        found = rule(outage, context)
        if found is not None:
            return found
    raise AssertionError("the last rule always holds")


def _planned(outage: Outage, context: Context) -> Attribution | None:
    """Planned: the lane, or the shard on it, was expected to be dark then."""
    plans = expected(outage, context.planned)
    if not is_planned(outage, plans):
        return None
    where = f"lane {outage.scope.lane}"
    if all(planned.shard is not None for planned in plans):
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
        if is_lit(outage, witness, shard, context):
            return Attribution(
                Cause.CLIENT,
                f"witness lane {witness.name} was served on shard {shard}"
                + _arrivals(outage, witness.name, [shard], context),
            )
    judge = _judge(outage, context)
    if judge is lane or dark_share(outage, judge.name, context) >= MOST:
        return None
    return Attribution(
        Cause.CLIENT,
        f"witness lane {judge.name} was served on shard {shard} for most "
        "of the time" + _arrivals(outage, judge.name, [shard], context),
    )


def _writes(outage: Outage, context: Context) -> Attribution | None:
    """Writes: refused by a server that served all reads of the shard.

    So does a group that cannot make writes durable (ElastiCache with asynchronous
    durability, while its log is more than ten seconds behind), and a primary that lacks
    replicas, disk or memory, or is a primary no more.
    """  # noqa: D401 - it begins with its cause, as all rows do
    lane, shard, op = outage.scope
    if op is not OpKind.WRITE:
        return None
    by_class = {error: outage.classes.get(error, 0) for error in _REFUSED}
    refused = sum(by_class.values())
    if not refused or refused < MOST * outage.failed:
        return None
    place = lane, shard
    is_read = outage.failed * context.reads.get(place, 0.0) >= _READS_DUE
    dark = within(context.read_hulls.get(place, ()), outage.start_ns, outage.end_ns)
    if not is_read or dark:
        return None
    mostly = max(by_class, key=lambda error: by_class[error])
    return Attribution(
        Cause.WRITES,
        f"{refused:,} of {outage.failed:,} writes were refused (mostly "
        f"{mostly.label}), and all reads of shard {shard} on lane {lane} were served",
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
        if is_lit(outage, other, shard, context):
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
    _writes,
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
        key=lambda w: dark_share(outage, w.name, context),
        default=lane,
    )


def _watching(outage: Outage, context: Context) -> list[LaneFacts]:
    """Return the witnesses of a client lane that looked while it was dark.

    One that was blind for most of that blames nobody.
    """
    lane = context.lanes[outage.scope.lane]
    found = witnesses_of(lane, outage.scope.shard, context.lanes.values())
    return [witness for witness in found if looked(outage, witness)]


def _served_shards(outage: Outage, judge: LaneFacts, context: Context) -> list[str]:
    """Return the other shards of a lane that were not dark for most of an outage."""
    return [
        name
        for name in judge.shards
        if name != outage.scope.shard and not is_dark(outage, judge.name, name, context)
    ]


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
