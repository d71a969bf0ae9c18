"""The documents of a run folder that are not part of the judgement.

Pure values and their making: ``run.json`` and the lines of ``events.ndjson``. The
format is described in docs/run-folder.md; ``SCHEMA_VERSION`` changes with it.
"""

import hashlib
import os
import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import msgspec
import orjson

from loadprobe import __version__, compiled
from loadprobe.clock import ClockPair
from loadprobe.config.keys import Config, to_plain
from loadprobe.core.events import Event
from loadprobe.core.events.lines import plain
from loadprobe.core.judging.counts import SecondCounts
from loadprobe.core.judging.histogram import SparseHistogram
from loadprobe.core.judging.latency import SecondHistograms
from loadprobe.core.judging.outcome import Outcome
from loadprobe.core.topology.topology import Topology

SCHEMA_VERSION = 1

RUN = "run.json"
SUMMARY = "summary.json"
OUTAGES = "outages.json"
EVENTS = "events.ndjson"
HISTOGRAMS = "histograms.ndjson"
SERIES = "series.ndjson"
SERVERS = "servers.ndjson"
CLOUDWATCH = "cloudwatch.ndjson"
CELLS = "cells.film"
SEALED = "sealed.ndjson"
PAGE = "report.html"
FILM_PICTURE = "film.png"

_LIBRARIES = ("uvloop", "hiredis", "msgspec", "aiohttp", "aioboto3", "redis")


class Moment(msgspec.Struct, frozen=True):
    """One instant on both clocks, in ns."""

    wall_ns: int
    mono_ns: int

    @property
    def clock(self) -> ClockPair:
        """Return the pair with which monotonic times are shown as wall times."""
        return msgspec.convert(
            {"wall_ns": self.wall_ns, "mono_ns": self.mono_ns}, ClockPair
        )


def moment(clock: ClockPair, mono_ns: int) -> Moment:
    """Return a monotonic time on both clocks."""
    return Moment(clock.to_wall(mono_ns), mono_ns)


class LaneSettings(msgspec.Struct, frozen=True):
    """What a lane was asked to do; see docs/configuration.md for the keys."""

    name: str
    driver: str
    tls: bool
    loop: str
    rate_per_s: float
    workers: int
    processes: int
    deadline_ms: int


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The content of ``run.json``.

    Args:
        schema_version: version of the format.
        name: name of the run.
        target: host and port that were measured.
        versions: of loadprobe, Python and the libraries that matter.
        host: machine, operating system and number of CPUs.
        config: the resolved configuration; secrets are references in it, no values.
        config_digest: SHA-256 of the configuration, to compare runs by.
        lanes: the lanes in the order of the configuration.
        scenario: what was done to the target, None if nothing.
        start: when the load began.
        end: when the last arrival was due; None while the run lasts.
        clock_offset_ms: provider's clock minus ours, None if it was not seen.
        topology_start: shards and nodes at the start (plain data).
        topology_end: shards and nodes at the end.
        problems: what went wrong beside the measuring, as sentences.
    """

    schema_version: int = SCHEMA_VERSION
    name: str
    target: str
    versions: dict[str, str]
    host: dict[str, str | int]
    config: dict[str, object]
    config_digest: str
    lanes: tuple[LaneSettings, ...]
    scenario: str | None = None
    start: Moment
    end: Moment | None = None
    clock_offset_ms: float | None = None
    topology_start: dict[str, object] | None = None
    topology_end: dict[str, object] | None = None
    problems: tuple[str, ...] = ()


class EventLine(msgspec.Struct, frozen=True):
    """One line of ``events.ndjson``; times in ns, fields as in ``core.events``."""

    wall_ns: int
    mono_ns: int
    source: str
    kind: str
    fields: dict[str, object]


def event_line(event: Event, clock: ClockPair) -> EventLine:
    """Return an event with its wall time."""
    return EventLine(clock.to_wall(event.mono_ns), event.mono_ns, *plain(event))


class SeriesRow(msgspec.Struct, frozen=True):
    """One line of ``series.ndjson``: one second of one scope, by due time.

    ``second`` is monotonic (due time // 1 s); the outcomes count arrivals, the
    ``_ms`` keys count cells.
    """

    lane: str
    shard: str
    op: str
    second: int
    served: int
    late: int
    refused: int
    unknown: int
    unsent: int
    wrong: int
    observed_ms: int
    dark_ms: int
    grey_ms: int


def series_row(counts: SecondCounts) -> SeriesRow:
    """Return a sealed second as a line."""
    scope = counts.scope
    return SeriesRow(
        lane=scope.lane,
        shard=scope.shard,
        op=scope.op.label,
        second=counts.second,
        observed_ms=counts.observed_ms,
        dark_ms=counts.dark_ms,
        grey_ms=counts.grey_ms,
        **{outcome.label: counts.counts[outcome] for outcome in Outcome},
    )


class HistogramRow(msgspec.Struct, frozen=True):
    """One line of ``histograms.ndjson``: arrivals of a lane and op due in one second.

    ``kind`` is "response" or "service"; ``histogram`` is what
    ``core.judging.histogram.Histogram.to_sparse`` gives, so lines merge exactly.
    """

    lane: str
    op: str
    second: int
    kind: str
    histogram: SparseHistogram


def histogram_rows(latencies: SecondHistograms) -> list[HistogramRow]:
    """Return the two lines of a sealed second; histograms without values give none."""
    both = {"response": latencies.response, "service": latencies.service}
    return [
        HistogramRow(
            latencies.lane,
            latencies.op.label,
            latencies.second,
            kind,
            histogram.to_sparse(),
        )
        for kind, histogram in both.items()
        if histogram.count
    ]


def describe_run(config: Config, *, start: Moment, scenario: str | None) -> RunInfo:
    """Return what is known of a run when it begins.

    Raises:
        OSError: the host cannot be described (does not happen on Linux).
    """
    plain = to_plain(config)
    return RunInfo(
        name=config.name,
        target=f"{config.target.host}:{config.target.port}",
        versions=_versions(),
        host={
            "name": platform.node(),
            "machine": platform.machine(),
            "system": f"{platform.system()} {platform.release()}",
            "cpus": os.cpu_count() or 1,
        },
        config=plain,
        config_digest=digest(plain),
        lanes=tuple(
            LaneSettings(
                name=lane.name,
                driver=lane.driver,
                tls=lane.tls,
                loop=lane.loop,
                rate_per_s=lane.rate_per_s,
                workers=lane.workers,
                processes=lane.processes,
                deadline_ms=lane.deadline_ms,
            )
            for lane in config.lanes
        ),
        scenario=scenario,
        start=start,
    )


def plain_topology(topology: Topology | None) -> dict[str, object] | None:
    """Return shards and nodes as plain data for ``run.json``; None if unknown."""
    if topology is None:
        return None
    return {
        shard.name: {
            "ranges": shard.ranges,
            "primary": f"{shard.primary.host}:{shard.primary.port}",
            "replicas": [f"{node.host}:{node.port}" for node in shard.replicas],
        }
        for shard in topology.shards
    }


def digest(plain: Mapping[str, object]) -> str:
    """Return ``sha256:`` and the hash of plain data; the order of keys is nothing."""
    canonical = orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)
    return f"sha256:{hashlib.sha256(canonical).hexdigest()}"


def _versions() -> dict[str, str]:
    found = {
        "loadprobe": __version__,
        "loop": compiled.HOW,
        "python": platform.python_version(),
    }
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "unknown"
    return found


def encode_json(document: object) -> bytes:
    """Return one line of JSON (no line feed), Structs and enums as plain data."""
    return orjson.dumps(document, default=_plain, option=orjson.OPT_NON_STR_KEYS)


def encode_document(document: object) -> bytes:
    """Return JSON a person can read, with a final line feed."""
    return orjson.dumps(
        document,
        default=_plain,
        option=orjson.OPT_NON_STR_KEYS
        | orjson.OPT_INDENT_2
        | orjson.OPT_APPEND_NEWLINE,
    )


def _plain(value: object) -> object:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    raise TypeError(f"{type(value).__name__} has no form in JSON")
