"""One hour of arrivals in virtual time: does judging get dearer as a run gets longer?

A child process feeds ``core.Aggregate`` as the supervisor does, snapshot by snapshot,
with one outage of a shard every two minutes.
"""

import os
import random
import sys
from collections.abc import Iterator
from statistics import median

import msgspec

from benchmarks.blocks import Say
from benchmarks.child import ask_child
from benchmarks.document import Curve, Found
from benchmarks.measurement import Target
from benchmarks.processes import read_usage
from benchmarks.rows import Limit, Row
from loadprobe.clock import NS_PER_MS, NS_PER_S, process_cpu_ns
from loadprobe.core.judging.aggregate import Aggregate
from loadprobe.core.judging.columns import Block, Failure, Scope
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outcome import ErrorClass, OpKind, Outcome

_LANE, _SHARDS, _RATE_PER_S = "load", 3, 1_000
_SNAPSHOT_MS = 250
_STRETCHES, _COMPARED = 15, 5
_OUTAGE_EVERY_S, _OUTAGE_S = 120, 2
_BEGIN_NS = 1_000 * NS_PER_S
_HOUR_S, _QUICK_S, _LONG_ENOUGH_S = 3_600.0, 360.0, 1.0
_TIMEOUT_S = 300.0
_FLAT = Limit(1.2)
_MB = 1e6


class Order(msgspec.Struct, frozen=True):
    """How many seconds of arrivals to judge."""

    seconds: float


class Stretch(msgspec.Struct, frozen=True):
    """One of the equal parts of the hour.

    Args:
        arrivals: judged in it.
        cpu_us: CPU time of judging them.
        rss_mb: resident memory at its end.
        outages: reported in it.
    """

    arrivals: int
    cpu_us: float
    rss_mb: float
    outages: int


def run(target: Target, *, repeats: int, seconds: float, say: Say) -> Found:
    """Judge one hour; a tenth of it if others are short.

    Args:
        target: not needed.
        repeats: not needed: the parts of the hour are compared with each other.
        seconds: length of one measurement of others.
        say: takes lines of progress.
    """
    del target, repeats
    length_s = _HOUR_S if seconds > _LONG_ENOUGH_S else _QUICK_S
    say(f"judging {length_s:g} s of arrivals")
    parts = ask_child(
        "benchmarks.hour", Order(length_s), list[Stretch], timeout_s=_TIMEOUT_S
    )
    costs = [part.cpu_us / part.arrivals for part in parts]
    sizes = [part.rss_mb for part in parts]
    name = f"{length_s / 60:g} min at {_RATE_PER_S:,}/s in virtual time"
    rows = [
        Row.of(f"{name}: arrivals judged", "", [sum(p.arrivals for p in parts)]),
        Row.of(f"{name}: outages found", "", [sum(p.outages for p in parts)]),
        Row.of(f"{name}: CPU of judging an arrival", "us", costs),
        Row.of(f"{name}: RSS of the process", "MB", sizes),
        Row.of(f"{name}: CPU, last third / first third", "x", _growth(costs), _FLAT),
        Row.of(f"{name}: RSS, last third / first third", "x", _growth(sizes), _FLAT),
    ]
    minutes = [length_s / 60 * (n + 1) / len(parts) for n in range(len(parts))]
    return Found.of(
        rows,
        [
            Curve("hour", label, "judging", tuple(zip(minutes, values, strict=True)))
            for label, values in (
                ("CPU, us per arrival", costs),
                ("RSS, MB", sizes),
            )
        ],
    )


def _growth(values: list[float]) -> list[float]:
    """Return the last values over the median of as many first ones."""
    first = median(values[:_COMPARED])
    return [value / first for value in values[-_COMPARED:]]


def _stretches(seconds: float) -> Iterator[Stretch]:
    aggregate = Aggregate([LaneInfo(_LANE, False, (0,), 250 * NS_PER_MS)])
    aggregate.start_process(0, _BEGIN_NS)
    draw = random.Random(1)
    snapshots = int(seconds * 1_000) // _SNAPSHOT_MS // _STRETCHES
    at_ns = _BEGIN_NS
    for _ in range(_STRETCHES):
        arrivals, outages, cpu_ns = 0, 0, 0
        for _ in range(snapshots):
            blocks = _snapshot(at_ns, draw)
            at_ns += _SNAPSHOT_MS * NS_PER_MS
            before_ns = process_cpu_ns()
            aggregate.add(0, blocks, watermark_ns=at_ns)
            outages += len(aggregate.seal().closed)
            cpu_ns += process_cpu_ns() - before_ns
            arrivals += sum(b.served_count + b.failed_count for b in blocks.values())
        yield Stretch(arrivals, cpu_ns / 1e3, _rss_mb(), outages)


def _snapshot(start_ns: int, draw: random.Random) -> dict[Scope, Block]:
    """Return what one snapshot brings: shards in turn, a write in five arrivals."""
    blocks: dict[Scope, Block] = {}
    gap_ns = NS_PER_S // _RATE_PER_S
    is_down = (start_ns - _BEGIN_NS) // NS_PER_S % _OUTAGE_EVERY_S < _OUTAGE_S
    for number in range(_SNAPSHOT_MS * NS_PER_MS // gap_ns):
        shard = number % _SHARDS
        op = OpKind.WRITE if number % 5 == 0 else OpKind.READ
        block = blocks.setdefault(Scope(_LANE, f"{shard + 1:04d}", op), Block())
        due_ns = start_ns + number * gap_ns
        sent_ns = due_ns + draw.randrange(20_000, 500_000)
        done_ns = sent_ns + int(draw.lognormvariate(12.5, 0.7))
        if is_down and not shard:
            why = Outcome.REFUSED, ErrorClass.CLUSTERDOWN
            block.add_failure(Failure(due_ns, sent_ns, done_ns, *why, sent_ns, done_ns))
        else:
            block.add_served(due_ns, sent_ns, done_ns)
    return blocks


def _rss_mb() -> float:
    return read_usage(os.getpid()).rss_bytes / _MB


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Order)
    sys.stdout.buffer.write(msgspec.json.encode(list(_stretches(given.seconds))))
