"""What was done to the cluster of a soak against what was told."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.chaos.judging import Truth
from benchmarks.soak.doing import DEADLINE_MS, WITNESSES, Course, known_as
from benchmarks.soak.figures import Soaked
from benchmarks.soak.reloading import Reloads, check_journal
from benchmarks.soak.sampling import Sample
from loadprobe.clock import NS_PER_MS, NS_PER_S
from loadprobe.core.intervals import Interval, difference, overlaps, union
from loadprobe.core.judging.outages import Outage
from loadprobe.outputs.folder.sealed_reader import read_sealed
from loadprobe.run.aftermath import load_any_run

_OPS = ("read", "write")
_DEADLINE_NS = DEADLINE_MS * NS_PER_MS
_SEEN_NS = 200 * NS_PER_MS
"""What of a stop has to have been looked at, for it to be missed."""
_HELD_UP_NS = 100 * NS_PER_MS
_AFTER_NS = 2 * NS_PER_S
"""So long after a change a lane may still find its way."""


def compare(
    folder: Path,
    course: Course,
    stalls: Sequence[Interval],
    samples: Sequence[Sample],
    *,
    reloads: Reloads,
    host: dict[str, str],
    seconds: float,
) -> Soaked:
    """Return what a soak came to.

    Args:
        folder: of the run.
        course: what was done.
        stalls: when the process that did it was held up.
        samples: what the program held.
        reloads: of its configuration.
        host: facts of the machine.
        seconds: how long load flowed.
    """
    run = load_any_run(folder)
    check_journal(run.events, reloads)
    replay = read_sealed(folder, set())
    assert replay is not None
    results = replay.results()
    own = [o for o in results.outages if o.scope.lane in WITNESSES]
    load = [o for o in own if not o.scope.op.is_apart]
    blind = {
        lane: union((span.start_ns, span.end_ns) for span in totals.blind)
        for lane, totals in results.lane_totals.items()
    }
    missed, unseen = _missed(course, load, blind)
    false, strained = _false(course, load, stalls)
    lanes = list(results.lane_totals)
    return Soaked(
        host=host,
        seconds=seconds,
        done=course.kinds,
        failed=tuple(course.failed),
        stops=len(course.stops) * len(WITNESSES) * len(_OPS),
        missed=tuple(missed),
        unseen=unseen,
        false=tuple(false),
        strained=strained,
        outages={
            lane: sum(
                o.scope.lane == lane and not o.scope.op.is_apart
                for o in results.outages
            )
            for lane in lanes
        },
        blind_ms={
            lane: totals.blind_ns / NS_PER_MS
            for lane, totals in results.lane_totals.items()
        },
        data={
            "lost writes": run.summary.lost_writes,
            "stale reads": run.summary.stale_reads,
            "wrong replies": run.summary.wrong,
        },
        samples=tuple(samples),
        reloaded=reloads.good,
        refused=reloads.bad,
        reload_problems=reloads.problems,
    )


def _missed(
    course: Course, told: Sequence[Outage], blind: dict[str, list[Interval]]
) -> tuple[list[str], int]:
    """Return stops that are not told as they were, and how many nobody saw."""
    missed: list[str] = []
    unseen = 0
    for stop in course.stops:
        for lane in WITNESSES:
            for op in _OPS:
                hulls = [
                    o.hull
                    for o in told
                    if o.scope[:2] == (lane, stop.shards[0]) and o.scope.op.label == op
                ]
                assert stop.certain is not None
                left = difference([stop.certain], hulls)
                if not left:
                    continue
                # What would fail by time, and was still waiting, is not seen either.
                dim = ((a - _DEADLINE_NS, b) for a, b in blind.get(lane, []))
                seen = difference(left, dim)
                if max((b - a for a, b in seen), default=0) < _SEEN_NS:
                    unseen += 1
                else:
                    where = f"{lane} {stop.shards[0]} {op}"
                    missed.append(
                        f"{where}: {_shown(left)} of {_shown([stop.certain])}"
                    )
    return missed, unseen


def _false(
    course: Course, told: Iterable[Outage], stalls: Sequence[Interval]
) -> tuple[list[str], int]:
    """Return outages where nothing was done, and how many a busy server explains."""
    held_up = [span for span in stalls if span[1] - span[0] >= _HELD_UP_NS]
    false: list[str] = []
    strained = 0
    for outage in told:
        shard = known_as(outage.scope.shard)
        allowed = union(
            [*_possible(course.stops, shard), *_possible(course.changes, shard)]
        )
        if overlaps(allowed, *outage.hull) and not difference(outage.cores, allowed):
            continue
        slow = [span for where, span in course.slow if where == shard]
        busy = union(
            (start - _DEADLINE_NS, end + _DEADLINE_NS)
            for start, end in (*slow, *held_up)
        )
        if overlaps(busy, *outage.hull):
            strained += 1
            continue
        classes = ", ".join(error.label for error in outage.classes)
        lane, named, op = outage.scope
        where = f"{lane} {named} {op.label}"
        cores = difference(outage.cores, allowed)
        false.append(f"{where}: {_shown(cores)} ({classes})")
    return false, strained


def _possible(truths: Iterable[Truth], shard: str) -> list[Interval]:
    return [
        (truth.possible[0], truth.possible[1] + (0 if truth.certain else _AFTER_NS))
        for truth in truths
        if shard in truth.shards
    ]


def _shown(spans: Sequence[Interval]) -> str:
    return ", ".join(f"{(b - a) / NS_PER_MS:.0f} ms" for a, b in spans) or "an instant"
