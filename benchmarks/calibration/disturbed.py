"""Outages while the meter itself is disturbed, drawn at random from a seed.

Pure. While it is disturbed, every shard is down at another place: the disturbance lies
across the start of one outage, in the middle of the next, across the end, around all of
one, and between two. One shard stays up, and no outage of it may be told.
"""

import math
from collections.abc import Iterator
from random import Random

from benchmarks.calibration.script import Episode, Kind, Plan
from benchmarks.calibration.settings import (
    DEADLINE_MS,
    SHARDS,
    Lengths,
    Setting,
    gap_ns,
)
from loadprobe.clock import NS_PER_MS
from tests.scripted.faults import Fault, FaultKind

_Span = tuple[float, float]
_PLACES: tuple[Kind | None, ...] = (
    "disturbed at the start",
    "disturbed in the middle",
    "disturbed at the end",
    "disturbed throughout",
    "disturbed between two",
    None,
)
_FIRST_MS = 2_500.0  # what disturbs has to be started first
_LEAST_PAUSE_MS = 350.0
_BESIDE_MS = (80.0, 400.0)
_SHORTEST_MS = 60.0
_LONGEST_MS = {"supervisor stopped": 3_000.0}
_MOST_MS = 1_200.0
_TRAIN_MS = (120.0, 350.0)
_PAUSE_MS = (25.0, 90.0)


def write_disturbed_plan(setting: Setting, lengths: Lengths, seed: int) -> Plan:
    """Draw the outages of a case; the same for the same arguments."""
    draw = Random(f"{seed}/{setting.label}")
    faults: list[Fault] = []
    episodes: list[Episode] = []
    disturbed: list[_Span] = []
    pause_ms = max(_LEAST_PAUSE_MS, 2.5 * gap_ns(setting, "write") / NS_PER_MS)
    at_ms, number = _FIRST_MS, 0
    while at_ms < _FIRST_MS + lengths.disturbed_s * 1000:
        begin_ms = at_ms + _BESIDE_MS[1]
        spans = _disturbances(setting, draw, begin_ms, number)
        window = spans[0][0], spans[-1][1]
        shift = draw.randrange(len(_PLACES))
        last_ms = window[1]
        for shard in range(SHARDS):
            kind = _PLACES[(shard + shift) % len(_PLACES)]
            if kind is None:
                continue
            downs = list(_downs(kind, window, draw))
            if len(spans) > 1:
                kind = "disturbed repeatedly"
            first = len(faults)
            faults += _faults(shard, downs, draw)
            places = tuple(range(first, len(faults)))
            episodes.append(Episode(kind, (shard,), places, number))
            last_ms = max(last_ms, downs[-1][1])
        disturbed += spans
        at_ms, number = last_ms + DEADLINE_MS + pause_ms, number + 1
    return Plan(
        tuple(faults),
        tuple(episodes),
        (_ns(at_ms), _ns(at_ms)),
        _ns(pause_ms),
        tuple((_ns(start), _ns(end)) for start, end in disturbed),
    )


def _disturbances(
    setting: Setting, draw: Random, begin_ms: float, number: int
) -> list[_Span]:
    """Draw one disturbance, or several in short succession."""
    short = setting.disturbance == "paused"
    count = (
        draw.randint(3, 6) if short else draw.randint(2, 4) if number % 3 == 2 else 1
    )
    spans: list[_Span] = []
    for _ in range(count):
        if count > 1:
            length_ms = draw.uniform(*(_PAUSE_MS if short else _TRAIN_MS))
        else:
            most_ms = _LONGEST_MS.get(setting.disturbance, _MOST_MS)
            logs = math.log(_SHORTEST_MS), math.log(most_ms)
            length_ms = math.exp(draw.uniform(*logs))
        spans.append((begin_ms, begin_ms + length_ms))
        begin_ms += length_ms + draw.uniform(*(_PAUSE_MS if short else _TRAIN_MS))
    return spans


def _downs(kind: Kind, window: _Span, draw: Random) -> Iterator[_Span]:
    """Yield when a shard is down, beside a disturbance."""
    start_ms, end_ms = window
    length_ms = end_ms - start_ms
    before_ms = start_ms - draw.uniform(*_BESIDE_MS)
    after_ms = end_ms + draw.uniform(*_BESIDE_MS)
    early_ms = start_ms + length_ms * draw.uniform(0.1, 0.4)
    late_ms = start_ms + length_ms * draw.uniform(0.6, 0.9)
    match kind:
        case "disturbed at the start":
            yield draw.choice((early_ms, late_ms)), after_ms
        case "disturbed in the middle":
            yield before_ms, after_ms
        case "disturbed at the end":
            yield before_ms, draw.choice((early_ms, late_ms))
        case "disturbed throughout":
            yield early_ms, late_ms
        case _:
            yield before_ms, early_ms
            yield late_ms, after_ms


def _faults(shard: int, downs: list[_Span], draw: Random) -> Iterator[Fault]:
    """Yield the faults that make a shard be down."""
    kinds: tuple[FaultKind, ...] = ("error", "reset", "freeze")
    kind = draw.choice(kinds if len(downs) == 1 else kinds[:2])
    # Silence is an outage until a deadline before its end.
    more_ms = DEADLINE_MS if kind == "freeze" else 0.0
    for start_ms, end_ms in downs:
        length_ns = _ns(end_ms - start_ms + more_ms)
        yield Fault(
            kind, (shard,), start_offset_ns=_ns(start_ms), duration_ns=length_ns
        )


def _ns(value_ms: float) -> int:
    return round(value_ms * NS_PER_MS)
