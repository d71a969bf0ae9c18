"""What of a run folder is kept, how fine, and what goes first.

Pure: sizes and ages in, steps to be taken out. The segment that is being written is not
among what it is told of, so it never goes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loadprobe.clock import NS_PER_S
from loadprobe.outputs.folder.forms import HOUR_S, MINUTE_S, STEPS_S

_DAY_S = 24 * HOUR_S


class Retention(msgspec.Struct, frozen=True):
    """How long what is kept; see ``[output]`` in docs/configuration.md for the keys."""

    seconds_hours: float = 6.0
    latency_seconds_hours: float = 2.0
    minutes_days: float = 7.0
    retain_days: float = 90.0
    retain_gb: float = 10.0
    max_disk_ratio: float = 0.9

    def step_s(self, age_s: float) -> int:
        """Return how long the steps of a series are that is so old."""
        return self._step_s(age_s, self.seconds_hours)

    def latency_step_s(self, age_s: float) -> int:
        """Return how long the steps of histograms are that are so old."""
        return self._step_s(age_s, self.latency_seconds_hours)

    def _step_s(self, age_s: float, seconds_hours: float) -> int:
        if age_s >= self.minutes_days * _DAY_S:
            return HOUR_S
        return MINUTE_S if age_s >= seconds_hours * HOUR_S else STEPS_S[0]

    def is_over(self, age_s: float) -> bool:
        """Tell whether something so old is not kept any more."""
        return age_s >= self.retain_days * _DAY_S


@dataclass(frozen=True, slots=True)
class StoredItem:
    """A segment that does not grow any more, or the folder of an incident.

    Args:
        path: its folder.
        begun_unix_ns: when it began.
        ended_unix_ns: when it ended.
    """

    path: Path
    begun_unix_ns: int
    ended_unix_ns: int

    def age_s(self, now_unix_ns: int) -> float:
        """Return how long ago it ended, in seconds."""
        return (now_unix_ns - self.ended_unix_ns) / NS_PER_S


@dataclass(frozen=True, slots=True)
class Shrink:
    """Have no steps of a segment shorter than so many seconds."""

    held: StoredItem
    step_s: int
    latencies_s: int


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a segment or the folder of an incident; ``why`` is a key of [output]."""

    held: StoredItem
    why: str


Step = Shrink | Remove


def by_age(
    segments: Sequence[StoredItem], retention: Retention, now_unix_ns: int
) -> Iterator[Step]:
    """Yield what is due because of its age, oldest first."""
    for held in segments:
        age_s = held.age_s(now_unix_ns)
        if retention.is_over(age_s):
            yield Remove(held, "retain_days")
        else:
            step_s, latencies_s = (
                retention.step_s(age_s),
                retention.latency_step_s(age_s),
            )
            yield Shrink(held, step_s, latencies_s)


def to_make_room(
    segments: Sequence[StoredItem], incidents: Sequence[StoredItem], why: str
) -> Iterator[Step]:
    """Yield what goes next while there is too much: the oldest first.

    First all segments are made as coarse as can be, then they go, and incidents last.
    """
    for held in segments:
        yield Shrink(held, HOUR_S, HOUR_S)
    for held in (*segments, *incidents):
        yield Remove(held, why)
