"""The figures of a run that can be laid beside those of another one. Pure.

A figure has a kind (what it is), a place (of which lane, shard or step; "" for the
whole run) and a value with error bars: the three ends are equal if it was counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from loadprobe.core.phase_names import Phase
from loadprobe.core.verdict.quantities import Bounds, Quantiles
from loadprobe.core.verdict.scenario_document import StepSummary
from loadprobe.core.verdict.summary import LaneSummary, Summary

Kind = Literal[
    "dark_ms",
    "client_dark_ms",
    "shard_dark_ms",
    "all_shards_dark_ms",
    "planned_ms",
    "settled_ms",
    "p50_ms",
    "p99_ms",
    "p99_9_ms",
    "served_per_s",
    "capacity_per_s",
    "failed_percent",
    "client_seconds_lost",
    "lost_writes",
    "stale_reads",
]


@dataclass(frozen=True, slots=True)
class FigureMeaning:
    """What a kind of figure is.

    Attributes:
        words: for people.
        unit: behind its value.
        is_main: it is shown without being asked for.
    """

    words: str
    unit: str
    is_main: bool = False


MEANINGS: dict[Kind, FigureMeaning] = {
    "dark_ms": FigureMeaning("time in which some shard was down", "ms", is_main=True),
    "client_dark_ms": FigureMeaning("the same, as client libraries saw it", "ms", True),
    "shard_dark_ms": FigureMeaning("time in which this shard was down", "ms", True),
    "all_shards_dark_ms": FigureMeaning("time in which all shards were down", "ms"),
    "planned_ms": FigureMeaning("darkness by plan", "ms"),
    "settled_ms": FigureMeaning(
        "from the API call until the change was done", "ms", True
    ),
    "p50_ms": FigureMeaning("median response time", "ms"),
    "p99_ms": FigureMeaning("response time, 99th percentile", "ms", is_main=True),
    "p99_9_ms": FigureMeaning("response time, 99.9th percentile", "ms"),
    "served_per_s": FigureMeaning("served arrivals per second", "/s", is_main=True),
    "capacity_per_s": FigureMeaning("highest rate that met the thresholds", "/s", True),
    "failed_percent": FigureMeaning("arrivals that failed", "%"),
    "client_seconds_lost": FigureMeaning("sum of the time in failed calls", "s"),
    "lost_writes": FigureMeaning("acknowledged writes that were lost", ""),
    "stale_reads": FigureMeaning("reads older than an acknowledged write", ""),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Which figure: its kind, and of what."""

    kind: Kind
    place: str = ""

    @property
    def name(self) -> str:
        """As it is asked for: ``dark_ms``, ``tls read p99_ms``."""
        return f"{self.place} {self.kind}" if self.place else self.kind


def figures_of(run: Summary) -> dict[Figure, Bounds]:
    """Return every figure of a run that has a value."""
    return dict(_whole_run(run)) | dict(_parts(run))


def _whole_run(run: Summary) -> Iterator[tuple[Figure, Bounds]]:
    yield Figure("dark_ms"), run.downtime_ms.any_shard
    yield Figure("all_shards_dark_ms"), run.downtime_ms.all_shards
    if run.client_downtime_ms is not None:
        yield Figure("client_dark_ms"), run.client_downtime_ms.any_shard
    if run.planned_ms.any_shard.upper:
        yield Figure("planned_ms"), run.planned_ms.any_shard
    yield Figure("client_seconds_lost"), _exact(run.client_seconds_lost)
    if run.lost_writes is not None:
        yield Figure("lost_writes"), _exact(run.lost_writes)
    if run.stale_reads is not None:
        yield Figure("stale_reads"), _exact(run.stale_reads)


def _parts(run: Summary) -> Iterator[tuple[Figure, Bounds]]:
    for shard, dark in sorted(run.downtime_ms.shards.items()):
        yield Figure("shard_dark_ms", shard), dark
    for step in run.scenario.steps if run.scenario is not None else ():
        yield from _step(step)
    for lane in run.lanes:
        yield from _lane(lane, run.duration_s)


def _step(step: StepSummary) -> Iterator[tuple[Figure, Bounds]]:
    for phase in step.phases:
        if phase.phase == Phase.SETTLED:
            earliest, latest = phase.earliest_ms, phase.latest_ms
            at = phase.offset_ms
            bars = Bounds(
                at,
                at if earliest is None else earliest,
                at if latest is None else latest,
            )
            yield Figure("settled_ms", step.name), bars


def _lane(lane: LaneSummary, duration_s: float) -> Iterator[tuple[Figure, Bounds]]:
    if lane.availability is not None:
        failed = 100 * (1 - lane.availability)
        yield Figure("failed_percent", lane.name), _exact(failed)
    if duration_s > 0:
        served = lane.outcomes.get("served", 0) / duration_s
        yield Figure("served_per_s", lane.name), _exact(served)
    for op, quantiles in lane.response_ms.items():
        yield from _quantiles(f"{lane.name} {op}", quantiles)


def _quantiles(place: str, of: Quantiles) -> Iterator[tuple[Figure, Bounds]]:
    values: dict[Kind, float | None] = {
        "p50_ms": of.p50,
        "p99_ms": of.p99,
        "p99_9_ms": of.p99_9,
    }
    for kind, value in values.items():
        if value is not None:
            yield Figure(kind, place), _exact(value)


def _exact(value: float) -> Bounds:
    return Bounds(value, value, value)
