"""The figures of a calibration: what is printed, kept as JSON, and put on the page.

Pure. The document holds counts and a few quantiles, never single arrivals.
"""

from collections.abc import Iterable, Sequence
from statistics import median

import msgspec

from benchmarks.calibration.compared import Comparison, Judged
from benchmarks.calibration.measuring import LANE, Observed
from benchmarks.calibration.script import KINDS, Kind
from benchmarks.calibration.settings import (
    VIEWS,
    Setting,
    View,
    chance_seen,
    gap_ns,
)
from loadprobe.clock import NS_PER_MS

SCHEMA_VERSION = 1
BIN_EDGES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
"""Length of an outage in probing gaps; what is longer is left out."""
_PROBLEMS_KEPT = 10


class KindFigures(msgspec.Struct, frozen=True):
    """One kind of outage in one case; times in ms.

    Args:
        kind: which one.
        outages: of a shard, that happened (also those that are none by definition).
        compared: of these, with op kinds together and apart, in which the server was
            not strained.
        inside: of those compared, without a problem.
        seen: outages that were compared and reported.
        missed: outages that were compared and not reported.
        blind: outages during which the probe was blind.
        strained: outages during which the server itself did not get to run.
        longest_missed_ms: of all that were missed, or None.
        shortest_seen_ms: of all that were seen, or None.
        error_median_ms: of the estimate of those seen, or None.
        error_max_ms: likewise.
        width_median_ms: of the bounds, or None.
        recoveries: between two faults of an outage that was seen.
        recoveries_seen: of these, told apart.
        excess_max_ms: by how much bounds were wider than what was not seen calls for,
            at most (below 0: they never were), or None.
    """

    kind: Kind
    outages: int
    compared: int
    inside: int
    seen: int
    missed: int
    blind: int
    strained: int
    longest_missed_ms: float | None
    shortest_seen_ms: float | None
    error_median_ms: float | None
    error_max_ms: float | None
    width_median_ms: float | None
    recoveries: int
    recoveries_seen: int
    excess_max_ms: float | None = None


class Detection(msgspec.Struct, frozen=True):
    """How many outages of about a length were seen.

    Args:
        view: by which arrivals.
        seen: by bin of ``BIN_EDGES``.
        total: by bin.
        expected: how many of all should be seen by chance.
    """

    view: View
    seen: tuple[int, ...]
    total: tuple[int, ...]
    expected: float


class CaseFigures(msgspec.Struct, frozen=True):
    """One case; times in ms.

    Args:
        setting: what was varied.
        kinds: figures by kind, of those that occurred.
        detection: by view.
        gap_ms: probing gap by view.
        error_median_ms: of all outages seen, or None.
        lateness_p99_ms: of the probe, or None.
        blind_ms: how long all probe processes were blind.
        false: outages where nothing had happened.
        of_moving_keys: outages of keys on their way to a shard that was down.
        of_server: outages that the server process itself made.
        server_stall_max_ms: the longest time the server process did not run.
        problems: the first of them, in words.
        failure: why the case could not be measured, or None.
    """

    setting: Setting
    kinds: tuple[KindFigures, ...] = ()
    detection: tuple[Detection, ...] = ()
    gap_ms: dict[View, float] = {}
    error_median_ms: float | None = None
    lateness_p99_ms: float | None = None
    blind_ms: float = 0.0
    false: int = 0
    of_moving_keys: int = 0
    of_server: int = 0
    server_stall_max_ms: float = 0.0
    problems: tuple[str, ...] = ()
    failure: str | None = None

    @property
    def violations(self) -> int:
        """Return how often the meter was wrong."""
        return self.false + sum(row.compared - row.inside for row in self.kinds)


class Calibration(msgspec.Struct, frozen=True):
    """A whole calibration.

    Args:
        seed: of the outages.
        is_quick: whether it was the short one.
        host: facts about the machine.
        cases: in the order in which they ran.
    """

    seed: int
    is_quick: bool
    host: dict[str, str]
    cases: tuple[CaseFigures, ...]
    schema_version: int = SCHEMA_VERSION

    @property
    def is_good(self) -> bool:
        """Tell whether all cases were measured and no bound was violated."""
        return all(case.failure is None and not case.violations for case in self.cases)


def summarize(setting: Setting, judged: Judged, observed: Observed) -> CaseFigures:
    """Return the figures of a case."""
    totals = observed.results.lane_totals[LANE]
    lateness_ns = totals.lateness.quantile(0.99)
    stalls = [span.end_ns - span.start_ns for span in observed.server_stalls]
    comparisons = judged.comparisons
    problems = [
        f"{row.kind}, {row.shard or 'all shards'} by {row.view}: {problem}"
        for row in comparisons
        for problem in row.problems
    ]
    problems += [
        f"shard {outage.scope.shard} {outage.scope.op.label}: an outage of "
        f"{outage.failed} arrivals where nothing had happened "
        f"({', '.join(error.label for error in outage.classes)})"
        for outage in judged.false
    ]
    return CaseFigures(
        setting=setting,
        kinds=tuple(
            _of_kind(kind, own)
            for kind in KINDS
            if (own := [row for row in comparisons if row.kind == kind])
        ),
        detection=tuple(_detection(setting, comparisons, view) for view in VIEWS),
        gap_ms={view: _ms(gap_ns(setting, view)) for view in VIEWS},
        error_median_ms=_median_ms(row.error_ns for row in _seen(comparisons)),
        lateness_p99_ms=None if lateness_ns is None else _ms(lateness_ns),
        blind_ms=_ms(totals.blind_ns),
        false=len(judged.false),
        of_moving_keys=judged.of_moving_keys,
        of_server=judged.of_server,
        server_stall_max_ms=_ms(max(stalls, default=0)),
        problems=tuple(problems[:_PROBLEMS_KEPT]),
    )


def _seen(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Return the outages of a shard that were reported and can be compared."""
    return [
        row
        for row in comparisons
        if row.view == "shard" and row.shard and row.is_seen and row.is_compared
    ]


def _of_kind(kind: Kind, comparisons: Sequence[Comparison]) -> KindFigures:
    shards = [row for row in comparisons if row.view == "shard" and row.shard]
    compared = [row for row in comparisons if row.is_compared]
    seen = _seen(comparisons)
    missed = [
        row
        for row in shards
        if row.least_ns > 0 and not row.is_seen and row.is_compared
    ]
    recoveries = sum(row.expected_pieces - 1 for row in seen)
    return KindFigures(
        kind=kind,
        outages=len(shards),
        compared=len(compared),
        inside=sum(not row.problems for row in compared),
        seen=len(seen),
        missed=len(missed),
        blind=sum(row.is_blind for row in shards),
        strained=sum(row.is_strained for row in shards),
        longest_missed_ms=_ms(max(row.least_ns for row in missed)) if missed else None,
        shortest_seen_ms=_ms(min(row.least_ns for row in seen)) if seen else None,
        error_median_ms=_median_ms(row.error_ns for row in seen),
        error_max_ms=_ms(max(row.error_ns for row in seen)) if seen else None,
        width_median_ms=_median_ms(row.width_ns for row in seen),
        excess_max_ms=_ms(max(row.excess_ns for row in seen)) if seen else None,
        recoveries=recoveries,
        recoveries_seen=sum(
            min(row.pieces, row.expected_pieces) - 1
            for row in seen
            if row.expected_pieces > 1
        ),
    )


def _detection(
    setting: Setting, comparisons: Sequence[Comparison], view: View
) -> Detection:
    """Count the error replies of one fault each: their instants need no evidence."""
    seen, total = [0] * (len(BIN_EDGES) - 1), [0] * (len(BIN_EDGES) - 1)
    expected = 0.0
    for row in comparisons:
        if row.kind != "brief errors" or row.view != view or not row.is_compared:
            continue
        ratio = row.least_ns / row.gap_ns
        at = sum(edge <= ratio for edge in BIN_EDGES) - 1
        if at < len(total):
            total[at] += 1
            seen[at] += row.is_seen
            expected += chance_seen(setting, view, row.least_ns)
    return Detection(view, tuple(seen), tuple(total), round(expected, 2))


def _median_ms(values_ns: Iterable[int]) -> float | None:
    values = list(values_ns)
    return _ms(median(values)) if values else None


def _ms(value_ns: float) -> float:
    return round(value_ns / NS_PER_MS, 3)
