"""What was done against what was reported. Pure.

Two intervals tell what was done in one place: *certain*, in which it was certainly
dark, and *possible*, outside of which it was certainly not. Hulls have to cover the
one, cores have to lie within the other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from loadprobe.clock import NS_PER_MS
from loadprobe.core.intervals import (
    Interval,
    difference,
    intersection,
    length,
    overlaps,
    union,
)
from loadprobe.core.judging.outages import Outage

_BEFORE_NS = 50 * NS_PER_MS
"""What was under way when something was done may have been due so long before."""
_SHORT_NS = 100 * NS_PER_MS
"""The cause of a shorter outage is not asked for: too little is known of it."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What was done to some scopes.

    Args:
        certain: they were down; None if nothing need have been noticed.
        possible: they were up outside of this.
        cause: what it has to be attributed to.
        lanes: of the scopes.
        shards: of the scopes.
    """

    certain: Interval | None
    possible: Interval
    cause: str
    lanes: tuple[str, ...] = ("tcp", "tls")
    shards: tuple[str, ...] = ("0002",)


@dataclass(frozen=True, slots=True)
class Told:
    """What was reported of one outage.

    Args:
        outage: with its bounds.
        cause: what it was attributed to.
    """

    outage: Outage
    cause: str


@dataclass(slots=True)
class Done:
    """One thing that was done.

    Args:
        name: of it.
        what: in a sentence.
        window: from before it until all was well again.
        truths: what was dark.
        blind: lane -> when it certainly did not look.
        problems: what went wrong beside outages.
        remark: what else is worth a word.
        obstacle: why it could not be done here; "" if it was.
    """

    name: str
    what: str
    window: Interval = (0, 0)
    truths: list[Truth] = field(default_factory=list)
    blind: dict[str, Interval] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    remark: str = ""
    obstacle: str = ""


@dataclass(slots=True)
class Verdict:
    """One row of the table; times in ms, for each lane.

    Args:
        done: what it is about.
        certain_ms: how long it was dark at least.
        possible_ms: how long at most.
        told_ms: (lower, upper) of what was reported.
        causes: that were told of outages that are not short.
        blind_ms: how long a lane did not look.
        problems: what was not as it should be; none if all was right.
    """

    done: Done
    certain_ms: dict[str, float]
    possible_ms: dict[str, float]
    told_ms: dict[str, tuple[float, float]]
    causes: tuple[str, ...]
    blind_ms: dict[str, float]
    problems: list[str]


def judge(
    done: Done,
    everything: Sequence[Done],
    told: Sequence[Told],
    blind: dict[str, list[Interval]],
    held_up: Sequence[Interval],
) -> Verdict:
    """Return the row of something that was done.

    Args:
        done: what was.
        everything: all that was done in the run.
        told: all that was reported of the run.
        blind: lane -> when it did not look, as reported.
        held_up: when the network of this test did not get to run itself.
    """
    first_ns, last_ns = (at - _BEFORE_NS for at in done.window)
    near = [one for one in told if first_ns <= one.outage.first_due_ns < last_ns]
    truths = [truth for each in everything for truth in each.truths]
    problems = list(done.problems)
    for one in near:
        problems += _false(truths, one, held_up)
        problems += _wrong_cause(done, one)
    for truth in done.truths:
        problems += _missed(truth, told)
    for lane, span in done.blind.items():
        if difference([span], blind.get(lane, [])):
            problems.append(f"lane {lane} was not told to be blind all of the time")
    lanes = ("tcp", "tls")
    return Verdict(
        done,
        {lane: _ms(_certain(done, lane)) for lane in lanes},
        {lane: _ms(_possible(done.truths, lane)) for lane in lanes},
        {lane: _bounds(near, lane) for lane in lanes},
        tuple(sorted({one.cause for one in near if _is_long(one)})),
        {
            lane: _ms(intersection([blind.get(lane, []), [done.window]]))
            for lane in lanes
        },
        problems,
    )


def _false(
    truths: Sequence[Truth], one: Told, held_up: Sequence[Interval]
) -> list[str]:
    """Return what is wrong with an outage that was told."""
    scope = one.outage.scope
    allowed = union([*_possible(truths, scope.lane, scope.shard), *held_up])
    beyond = difference(one.outage.cores, allowed)
    where = f"{scope.lane} {scope.shard} {scope.op.label}"
    if beyond:
        return [f"{where}: told dark for {_ms(beyond):.1f} ms in which it was not"]
    if not overlaps(allowed, one.outage.hull_start_ns, one.outage.hull_end_ns):
        classes = ", ".join(error.label for error in one.outage.classes)
        return [f"{where}: told of an outage ({classes}) where nothing was done"]
    return []


def _wrong_cause(done: Done, one: Told) -> list[str]:
    scope = one.outage.scope
    expected = {
        truth.cause
        for truth in done.truths
        if scope.lane in truth.lanes and scope.shard in truth.shards
    }
    if not _is_long(one) or not expected or one.cause in expected:
        return []
    where = f"{scope.lane} {scope.shard} {scope.op.label}"
    right = " or ".join(sorted(expected))
    classes = {error.label: count for error, count in one.outage.classes.items()}
    return [f"{where}: attributed to {one.cause}, not to {right} ({classes})"]


def _missed(truth: Truth, told: Sequence[Told]) -> Iterable[str]:
    """Yield what of the truth is in no hull."""
    if truth.certain is None:
        return
    for lane in truth.lanes:
        for shard in truth.shards:
            for op in ("read", "write"):
                hulls = [
                    one.outage.hull
                    for one in told
                    if one.outage.scope[:2] == (lane, shard)
                    and one.outage.scope.op.label == op
                ]
                left = difference([truth.certain], hulls)
                if left:
                    yield f"{lane} {shard} {op}: {_ms(left):.1f} ms of it were not told"


def _is_long(one: Told) -> bool:
    return one.outage.duration_ns >= _SHORT_NS and not one.outage.scope.op.is_apart


def _possible(
    truths: Sequence[Truth], lane: str, shard: str | None = None
) -> list[Interval]:
    return union(
        truth.possible
        for truth in truths
        if lane in truth.lanes and shard in (None, *truth.shards)
    )


def _certain(done: Done, lane: str) -> list[Interval]:
    return union(
        truth.certain
        for truth in done.truths
        if truth.certain is not None and lane in truth.lanes
    )


def _bounds(near: Sequence[Told], lane: str) -> tuple[float, float]:
    own = [
        one.outage
        for one in near
        if one.outage.scope.lane == lane and not one.outage.scope.op.is_apart
    ]
    return (
        _ms(core for outage in own for core in outage.cores),
        _ms(outage.hull for outage in own),
    )


def _ms(intervals: Iterable[Interval]) -> float:
    return length(intervals) / NS_PER_MS
