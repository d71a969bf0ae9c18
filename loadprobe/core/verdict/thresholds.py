"""Thresholds, and whether a run met them. Pure.

Planned darkness counts against none of them, and neither does what was not seen.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from loadprobe.core.judging.histogram import Histogram
from loadprobe.core.verdict.judged import JudgedRun
from loadprobe.core.verdict.measures import ms, quantiles_ms
from loadprobe.core.verdict.summary import SloResult


@dataclass(frozen=True, slots=True)
class SloLimits:
    """Thresholds; None is not checked."""

    max_outage_ms: float | None = None
    availability: float | None = None
    p99_ms: float | None = None
    max_lost_writes: int | None = None
    max_errors: int | None = None
    max_blind_ms: float | None = None


def check_slo(
    run: JudgedRun, limits: SloLimits, *, lost_writes: int | None = None
) -> list[SloResult]:
    """Return each threshold with what was measured; without a value it is not met.

    Args:
        run: what was looked at.
        limits: the thresholds.
        lost_writes: acknowledged writes that are gone; None if not all were read back.
    """
    return [*_served(run, limits), *_counted(run, limits, lost_writes)]


def _counted(
    run: JudgedRun, limits: SloLimits, lost_writes: int | None
) -> Iterator[SloResult]:
    errors = sum(totals.arrivals - totals.served for totals in run.totals)
    errors -= sum(outage.failed for outage in run.planned)
    lanes = run.watched.lane_totals.values()
    blind_ms = ms(max((totals.blind_ns for totals in lanes), default=0))
    for name, limit, actual in (
        ("max_lost_writes", limits.max_lost_writes, lost_writes),
        ("max_errors", limits.max_errors, errors),
        ("max_blind_ms", limits.max_blind_ms, blind_ms),
    ):
        if limit is not None:
            met = actual is not None and actual <= limit
            yield SloResult(name, limit, actual, met)


def _served(run: JudgedRun, limits: SloLimits) -> list[SloResult]:
    checks: list[SloResult] = []
    if limits.max_outage_ms is not None:
        longest = max((o.seen_ns for o in run.outages), default=0)
        actual = ms(longest) if run.watched.scope_totals else None
        met = actual is not None and actual <= limits.max_outage_ms
        most = ms(max((o.upper_ns for o in run.outages if o.unseen), default=0))
        possible = most if met and most > limits.max_outage_ms else None
        checks.append(
            SloResult("max_outage_ms", limits.max_outage_ms, actual, met, possible)
        )
    if limits.availability is not None:
        availability = run.availability
        met = availability is not None and availability >= limits.availability
        checks.append(SloResult("availability", limits.availability, availability, met))
    if limits.p99_ms is not None:
        merged = Histogram()
        for lane_totals in run.watched.lane_totals.values():
            for histogram in lane_totals.response.values():
                merged.merge(histogram)
        p99 = quantiles_ms(merged).p99
        met = p99 is not None and p99 <= limits.p99_ms
        checks.append(SloResult("p99_ms", limits.p99_ms, p99, met))
    return checks
