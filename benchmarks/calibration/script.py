"""Outages drawn at random, from a seed: what is asked of the scripted cluster.

Pure. When they really began and ended is told by the server afterwards.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Literal

from benchmarks.calibration.settings import (
    DEADLINE_MS,
    SHARDS,
    VIEWS,
    Lengths,
    Setting,
    gap_ns,
)
from loadprobe.clock import NS_PER_MS, NS_PER_S
from tests.scripted.faults import Fault, FaultKind

Kind = Literal[
    "error replies",
    "resets",
    "freezes",
    "short freezes",
    "brief errors",
    "flapping",
    "all shards",
    "resharding",
    "disturbed at the start",
    "disturbed in the middle",
    "disturbed at the end",
    "disturbed throughout",
    "disturbed between two",
    "disturbed repeatedly",
    "disturbed, any shard",
]
KINDS: tuple[Kind, ...] = (
    "error replies",
    "resets",
    "freezes",
    "short freezes",
    "brief errors",
    "flapping",
    "all shards",
    "resharding",
    "disturbed at the start",
    "disturbed in the middle",
    "disturbed at the end",
    "disturbed throughout",
    "disturbed between two",
    "disturbed repeatedly",
    "disturbed, any shard",
)
_SINGLE: tuple[Kind, ...] = (
    "error replies",
    "resets",
    "freezes",
    "short freezes",
    "brief errors",
    "brief errors",
    "flapping",
)
_FIRST_MS = 400.0
_LEAST_PAUSE_MS = 250.0
_SHORTEST_MS, _LONGEST_MS = 5.0, 800.0
FLAP_GAP_MS = 2.0


@dataclass(frozen=True, slots=True)
class Episode:
    """What is compared as one: a fault, or several in short succession.

    Args:
        kind: of the episode.
        shards: indexes of the shards it hits.
        faults: its places in the list of faults, by time.
        around: number of what the meter was disturbed by meanwhile, or None.
    """

    kind: Kind
    shards: tuple[int, ...]
    faults: tuple[int, ...]
    around: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen.

    Args:
        faults: in no particular order.
        episodes: all of them.
        moving_ns: while slots move: offsets of start and end.
        pause_ns: least time between two episodes of a shard.
        disturbed_ns: when the meter is disturbed: offsets of start and end, by time.
    """

    faults: tuple[Fault, ...]
    episodes: tuple[Episode, ...]
    moving_ns: tuple[int, int]
    pause_ns: int
    disturbed_ns: tuple[tuple[int, int], ...] = ()


class _Writer:
    """Collects faults and episodes."""

    def __init__(self, setting: Setting, seed: str) -> None:
        self.draw = Random(seed)
        self.setting = setting
        self.faults: list[Fault] = []
        self.episodes: list[Episode] = []
        # Arrivals must come in between, or nobody could tell two outages apart.
        self.pause_ms = max(_LEAST_PAUSE_MS, 2.5 * gap_ns(setting, "write") / NS_PER_MS)

    def length_ms(self, longest_ms: float = _LONGEST_MS) -> float:
        """Draw a length; its logarithm is spread evenly."""
        return math.exp(self.draw.uniform(math.log(_SHORTEST_MS), math.log(longest_ms)))

    def add(
        self,
        kind: Kind,
        fault: FaultKind,
        shards: tuple[int, ...],
        at_ms: float,
        lengths_ms: list[float],
    ) -> float:
        """Add one episode; return when the next one may begin, in ms."""
        first = len(self.faults)
        for length_ms in lengths_ms:
            self.faults.append(
                Fault(
                    fault,
                    shards,
                    start_offset_ns=round(at_ms * NS_PER_MS),
                    duration_ns=round(length_ms * NS_PER_MS),
                )
            )
            at_ms += length_ms + FLAP_GAP_MS
        places = tuple(range(first, len(self.faults)))
        self.episodes.append(Episode(kind, shards, places))
        return at_ms + self.pause_ms + self.draw.uniform(0.0, 50.0)

    def single(self, kind: Kind, shard: int, at_ms: float) -> float:
        """Add an episode of one shard; return when the next one may begin."""
        draw = self.draw
        fault: FaultKind = "error"
        lengths_ms: list[float]
        match kind:
            case "resets":
                fault, lengths_ms = "reset", [self.length_ms()]
            case "freezes":
                fault, lengths_ms = "freeze", [DEADLINE_MS + self.length_ms(400.0)]
            case "short freezes":
                fault, lengths_ms = "freeze", [DEADLINE_MS * draw.uniform(0.2, 0.7)]
            case "brief errors":
                view = draw.choice(VIEWS)
                gap_ms = gap_ns(self.setting, view) / NS_PER_MS
                lengths_ms = [gap_ms * draw.uniform(0.1, 2.0)]
            case "flapping":
                fault = draw.choice(("error", "reset"))
                lengths_ms = [
                    draw.uniform(4.0, 30.0) for _ in range(draw.randint(3, 6))
                ]
            case "resharding":
                fault = draw.choice(("error", "reset"))
                lengths_ms = [self.length_ms(400.0)]
            case _:
                lengths_ms = [self.length_ms()]
        return self.add(kind, fault, (shard,), at_ms, lengths_ms)


def write_plan(setting: Setting, lengths: Lengths, seed: int) -> Plan:
    """Draw the outages of a case; the same for the same arguments."""
    writer = _Writer(setting, f"{seed}/{setting.label}")
    draw = writer.draw

    def kinds() -> Callable[[], Kind]:
        bag: list[Kind] = []

        def take() -> Kind:
            if not bag:
                bag.extend(draw.sample(_SINGLE, len(_SINGLE)))
            return bag.pop()

        return take

    end_ms = _FIRST_MS
    for shard in range(SHARDS):
        take, at_ms = kinds(), _FIRST_MS + shard * 37.0
        while at_ms < _FIRST_MS + lengths.single_s * 1000:
            at_ms = writer.single(take(), shard, at_ms)
        end_ms = max(end_ms, at_ms)
    at_ms, stop_ms = end_ms, end_ms + lengths.common_s * 1000
    everywhere = tuple(range(SHARDS))
    while at_ms < stop_ms:
        fault: FaultKind = draw.choice(("error", "reset", "freeze"))
        length_ms = writer.length_ms(300.0) + (DEADLINE_MS if fault == "freeze" else 0)
        at_ms = writer.add("all shards", fault, everywhere, at_ms, [length_ms])
    moving_ms, end_ms = at_ms, at_ms
    for shard in range(SHARDS):
        at_ms = moving_ms + 100.0 + shard * 37.0
        while at_ms < moving_ms + lengths.moving_s * 1000:
            at_ms = writer.single("resharding", shard, at_ms)
        end_ms = max(end_ms, at_ms)
    return Plan(
        tuple(writer.faults),
        tuple(writer.episodes),
        (round(moving_ms * NS_PER_MS), round(end_ms * NS_PER_MS)),
        round(writer.pause_ms * NS_PER_MS),
    )


def duration_s(plan: Plan) -> float:
    """Return how long a plan takes."""
    return plan.moving_ns[1] / NS_PER_S
