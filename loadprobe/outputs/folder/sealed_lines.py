"""The lines of ``sealed.ndjson``: what a verdict needs, as it becomes certain.

Pure. A line says what has changed since the line before. Each is a JSON array of its
CRC-32 and an object, so that a line that was torn, or damaged later, is told from one
that was written. ``sealed_changes`` makes them, ``sealed_replay`` adds them up again.
"""

import zlib
from typing import TypeVar

import msgspec

from loadprobe.core.judging.columns import Scope
from loadprobe.core.judging.histogram import SparseHistogram
from loadprobe.core.judging.lanes import LaneInfo
from loadprobe.core.judging.outages import Outage
from loadprobe.core.judging.outcome import ErrorClass, Outcome
from loadprobe.core.steps import ScenarioRecord
from loadprobe.core.verdict.beside import Planned
from loadprobe.core.verdict.expected import Expected
from loadprobe.core.verdict.thresholds import SloLimits


class Rules(msgspec.Struct, frozen=True):
    """By what a run is judged.

    Args:
        quiet_ns: outages closer together than this are one incident.
        stall_ns: what is sent later than this after its due time is a late send.
        slo: thresholds.
        expected: what its scenario expects of the load, besides planned darkness.
    """

    quiet_ns: int
    stall_ns: int
    slo: SloLimits = SloLimits()
    expected: Expected = Expected()


class Beginning(msgspec.Struct, frozen=True):
    """What the first line says of the run; ``has_scenario``: it is to be changed."""

    lanes: tuple[LaneInfo, ...]
    rules: Rules
    has_scenario: bool = False


class ScopeBefore(msgspec.Struct, frozen=True, array_like=True):
    """What lines do not say of a scope before a segment; as ``ScopeTotals`` has it.

    ``served_ns`` is when it was served last.
    """

    scope: int
    outages: int
    outage_ns: int
    outage_unseen_ns: int
    served_ns: int | None = None


class Checkpoint(msgspec.Struct, frozen=True):
    """In the first line of a segment: the line has all that was judged before it.

    Args:
        blind_ns: of each lane, all of it: spans beyond a number are not kept.
        scopes: of all of them, by number.
        dropped: outages that ended and were not kept.
        reopened: outages that were counted in ``Counted`` as the load had ended, and
            went on with it: as they were then.
    """

    blind_ns: dict[str, int]
    scopes: list[ScopeBefore]
    dropped: int
    reopened: list[Outage] = []


class ServedLine(msgspec.Struct, frozen=True, array_like=True):
    """Served arrivals of a scope (``scope`` is its number), and what was observed."""

    scope: int
    arrivals: int
    observed_ms: int
    observed_ns: int = 0


class FailedLine(msgspec.Struct, frozen=True, array_like=True):
    """What else was counted of a scope; as ``ScopeTotals`` has it."""

    scope: int
    outcomes: dict[Outcome, int]
    classes: dict[ErrorClass, int]
    dark_ms: int
    grey_ms: int
    unseen: int
    lost_ns: int


class Spans(msgspec.Struct, frozen=True, array_like=True):
    """Spans of which the first ones are as before: how many, and those after them."""

    kept: int
    then: list[tuple[int, int]]


class Growth(msgspec.Struct, frozen=True, omit_defaults=True):
    """By how much an outage has grown that is not closed.

    Args:
        scope: number of its scope.
        by_ns: what is to be added to core_start_ns, core_end_ns, end_ns, hull_end_ns,
            last_due_ns and probe_gap_ns.
        classes: more failed arrivals by class.
        outcomes: the same by outcome.
        gaps: as now; None if they are as before.
        unseen: likewise.
    """

    scope: int
    by_ns: tuple[int, int, int, int, int, int]
    classes: dict[ErrorClass, int] = {}
    outcomes: dict[Outcome, int] = {}
    gaps: Spans | None = None
    unseen: Spans | None = None


class Counted(msgspec.Struct, frozen=True):
    """Counters of ``/metrics`` that no other key has.

    Args:
        names: new ones, numbered from 0 in their segment: metric and label values.
        values: of those that changed: number, and value as of now.
    """

    names: list[tuple[str, ...]] = []
    values: list[tuple[int, float]] = []


class Figures(msgspec.Struct, frozen=True):
    """How the probes are doing, and what they found, over the whole run so far."""

    max_lag_ns: int = 0
    max_gc_ns: int = 0
    cpu_ns: int = 0
    skipped: int = 0
    stale_reads: int = 0
    replica_stale_reads: int = 0
    absent_reads: dict[str, int] = {}


class WorkRow(msgspec.Struct, frozen=True, array_like=True):
    """What a lane did in a second; see ``core.judging.activity.Work``."""

    lane: str
    second: int
    attempts: int
    connects: int
    refreshes: int
    raised: int


class RedirectRow(msgspec.Struct, frozen=True, array_like=True):
    """Redirects of a kind that a lane followed in a second."""

    lane: str
    second: int
    kind: str
    count: int


class P99Row(msgspec.Struct, frozen=True, array_like=True):
    """See ``core.judging.latency.SecondP99``."""

    lane: str
    shard: str | None
    second: int
    p99_ns: int


class LatencyPart(msgspec.Struct, frozen=True):
    """Latencies of a lane since the part before; by label of the op kind."""

    lane: str
    response: dict[str, SparseHistogram]
    service: dict[str, SparseHistogram]
    lateness: SparseHistogram


class LatenciesLine(msgspec.Struct, frozen=True):
    """Latencies of complete seconds, and how long the files of seconds were then.

    Args:
        lanes: of some lanes, what came since the line before that had any of them.
        series_bytes: length of ``series.ndjson``.
        histograms_bytes: length of ``histograms.ndjson``: what follows there of these
            lanes is not in any part yet.
    """

    lanes: list[LatencyPart]
    series_bytes: int
    histograms_bytes: int


class Written(msgspec.Struct, frozen=True):
    """What was found of acknowledged writes when they were read back, after the load.

    ``is_complete``: all that had to be read was.
    """

    lost: int
    is_complete: bool


class SealedLine(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line; what is not in it is as it was.

    Args:
        until_ns: everything due before has been judged, monotonic.
        beginning: in the first line of a segment only.
        checkpoint: likewise, but not in the first line of a run.
        begun_ns: when lanes began, of those that did since.
        scopes: new ones; the first of a segment has number 0.
        served: counts to be added.
        failed: counts to be added.
        blind: spans of lanes, of which one that goes on comes in parts: lane, start
            and end.
        closed: outages that ended.
        dropped: scopes of outages that ended and are not kept, as there are too many.
        dropped_ns: of each of them, how long it was, and what was not seen of it.
        cut: those of them that went on when the load ended.
        open: outages that are not closed and began, or changed otherwise than by
            growing; as they would be if they ended now.
        grown: the others of these that changed.
        planned: all darkness that was planned so far; what has no end yet goes on.
        figures: those of the probes.
        work: to be added.
        redirects: to be added.
        p99: to be added.
        latencies: to be added.
        scenario: how it went so far.
        written: what was read back so far.
        counted: counters that changed.
        nodes: names of shards by the nodes that were seen in them; new ones.
        end_ns: the end of the load; only in the last line of a run that was judged to
            its end.
    """

    until_ns: int
    beginning: Beginning | None = None
    checkpoint: Checkpoint | None = None
    begun_ns: dict[str, int] = {}
    scopes: list[Scope] = []
    served: list[ServedLine] = []
    failed: list[FailedLine] = []
    blind: list[tuple[str, int, int]] = []
    closed: list[Outage] = []
    dropped: list[int] = []
    dropped_ns: list[tuple[int, int]] = []
    cut: list[Outage] = []
    open: list[Outage] = []
    grown: list[Growth] = []
    planned: list[Planned] | None = None
    figures: Figures | None = None
    work: list[WorkRow] = []
    redirects: list[RedirectRow] = []
    p99: list[P99Row] = []
    latencies: LatenciesLine | None = None
    scenario: ScenarioRecord | None = None
    written: Written | None = None
    counted: Counted | None = None
    nodes: dict[str, str] = {}
    end_ns: int | None = None


class SecondsLine(msgspec.Struct, frozen=True):
    """Of a line what is told of single seconds; see ``SealedLine``."""

    work: list[WorkRow] = []
    redirects: list[RedirectRow] = []
    p99: list[P99Row] = []


_Line = TypeVar("_Line", SealedLine, SecondsLine)
_Frame = tuple[int, msgspec.Raw]
_FRAME = msgspec.json.Decoder(_Frame)
_LINE = msgspec.json.Decoder(SealedLine)
_SECONDS = msgspec.json.Decoder(SecondsLine)


def encode_line(line: SealedLine) -> bytes:
    """Return a line with its line feed."""
    content = msgspec.json.encode(line)
    return b"[%d,%b]\n" % (zlib.crc32(content), content)


def decode_line(content: bytes) -> SealedLine:
    """Return what a line says.

    Raises:
        ValueError: it is torn or damaged.
    """
    return _decode(content, _LINE)


def decode_seconds(content: bytes) -> SecondsLine:
    """Return what a line says of single seconds.

    Raises:
        ValueError: it is torn or damaged.
    """
    return _decode(content, _SECONDS)


def _decode(content: bytes, decoder: msgspec.json.Decoder[_Line]) -> _Line:
    try:
        checksum, raw = _FRAME.decode(content)
        if zlib.crc32(raw) != checksum:
            raise ValueError("the checksum does not match")
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ValueError(str(exc)) from exc
